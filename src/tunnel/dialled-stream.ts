// A stream that the other side of a session has opened, to somewhere that this side dials: the head is read, the dial made, its
// true result answered, and from then on bytes are relayed.
//
//   head ─▶ dialling (what comes early waits, no more than the window) ─▶ relaying ─▶ ended

import type { Socket } from 'node:net'
import type { MuxStream, StreamHandler } from '../core/mux/stream.ts'
import { ConnectHeadReader, connectTargetIn, encodeConnectAnswer, type ConnectStatus } from '../core/tunnel/connect-head.ts'
import type { DialledRecord } from '../core/tunnel/tunnel-observer.ts'
import { SocketRelay } from './socket-relay.ts'

export interface DialFailure {
  readonly status: Exclude<ConnectStatus, 200>
  /** In words: what was dialled, and what the system said. */
  readonly detail: string
}

/** One of these is called, once, unless the dial is abandoned. */
export interface DialResult {
  /** @param first what the socket is sent before anything else */
  readonly connected: (socket: Socket, first?: Uint8Array) => void
  readonly failed: (failure: DialFailure) => void
}

export interface DialUnderWay {
  /** Nobody waits for it any more. */
  abandon(): void
}

export interface DialledStreamOptions {
  readonly stream: MuxStream
  /** @param target `host:port`, as it was asked for @returns undefined where the result is told already */
  readonly dial: (target: string, result: DialResult) => DialUnderWay | undefined
  /** Whether the other side is told why, beside the status. */
  readonly tellsWhy: boolean
  readonly ended: (record: DialledRecord) => void
}

export class DialledStream implements StreamHandler {
  readonly #options: DialledStreamOptions
  readonly #head = new ConnectHeadReader()
  #phase: 'head' | 'dialling' | 'relaying' | 'ended' = 'head'
  #early: Uint8Array[] = []
  #finished = false
  #target: string | undefined
  #dial: DialUnderWay | undefined
  #relay: SocketRelay | undefined
  #status: ConnectStatus | undefined

  constructor(options: DialledStreamOptions) {
    this.#options = options
  }

  data(bytes: Uint8Array): void {
    switch (this.#phase) {
      case 'head': this.#readHead(bytes); break
      case 'dialling': this.#early.push(bytes); break
      case 'relaying': this.#relay?.data(bytes); break
      case 'ended': break
      default: this.#phase satisfies never
    }
  }

  finished(): void {
    this.#finished = true
    if (this.#phase === 'head') this.#refuse(400, 'FIN before the head was whole')
    else this.#relay?.finished()
  }

  reset(): void {
    this.#dial?.abandon()
    if (this.#relay !== undefined) this.#relay.reset()
    else this.#end('abandoned', 'the other side reset it, or its session ended')
  }

  get phase(): 'hello' | 'dialing' | 'relaying' | 'half-closed' {
    if (this.#phase === 'head') return 'hello'
    if (this.#phase === 'dialling') return 'dialing'
    return this.#finished ? 'half-closed' : 'relaying'
  }

  /** So far. */
  get moved(): { readonly toUpstreamBytes: number; readonly fromUpstreamBytes: number } {
    const { toSocketBytes = 0, fromSocketBytes = 0 } = this.#relay?.totals ?? {}
    return { toUpstreamBytes: toSocketBytes, fromUpstreamBytes: fromSocketBytes }
  }

  /** Resets it on both sides. @returns whether it was open */
  close(): boolean {
    if (this.#phase === 'ended') return false
    this.#dial?.abandon()
    this.#end('closed-by-operator', '')
    this.#options.stream.reset()
    this.#relay?.reset()
    return true
  }

  writable(): void {
    this.#relay?.writable()
  }

  #readHead(bytes: Uint8Array): void {
    const { stream, dial } = this.#options
    const head = this.#head.push(bytes)
    if (head === undefined) {
      stream.consumed(bytes.length)
      return
    }
    this.#target = head.kind === 'head' ? connectTargetIn(head.firstLine) : undefined
    if (head.kind === 'malformed' || this.#target === undefined) {
      this.#refuse(400, head.kind === 'malformed' ? head.detail : 'no CONNECT')
      return
    }
    stream.consumed(bytes.length - head.rest.length)
    if (head.rest.length > 0) this.#early.push(head.rest)
    this.#phase = 'dialling'
    // A reset does not undo a dial at once: the stream counts until that is over.
    stream.hold()
    this.#dial = dial(this.#target, {
      connected: (socket, first) => this.#connected(socket, first),
      failed: ({ status, detail }) => this.#refuse(status, detail),
    })
  }

  #connected(socket: Socket, first: Uint8Array | undefined): void {
    const { stream } = this.#options
    this.#dial = undefined
    this.#phase = 'relaying'
    this.#status = 200
    stream.write(encodeConnectAnswer(200))
    const relay = new SocketRelay(stream, socket, (end) => this.#end(end, ''))
    this.#relay = relay
    if (first !== undefined) socket.write(first)
    for (const bytes of this.#early) relay.data(bytes)
    this.#early = []
    if (this.#finished) relay.finished()
  }

  #refuse(status: Exclude<ConnectStatus, 200>, detail: string): void {
    const { stream, tellsWhy } = this.#options
    this.#dial = undefined
    this.#status = status
    stream.write(encodeConnectAnswer(status, tellsWhy ? detail : undefined))
    stream.finish()
    for (const bytes of this.#early) stream.consumed(bytes.length)
    this.#early = []
    this.#end('refused', detail)
  }

  #end(end: DialledRecord['end'], detail: string): void {
    if (this.#phase === 'ended') return
    this.#phase = 'ended'
    const { stream, ended } = this.#options
    stream.release()
    ended({ target: this.#target, status: this.#status, end, detail, ...this.moved })
  }
}
