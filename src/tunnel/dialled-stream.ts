// A stream that the other side of a session has opened, to somewhere that this side dials: the head is read, the dial made, its
// true result answered, and from then on bytes are relayed.
//
//   head ─▶ dialling (what comes early waits, no more than the window) ─▶ relaying ─▶ ended

import type { MuxStream, StreamHandler } from '../core/mux/stream.ts'
import { ConnectHeadReader, connectTargetIn, encodeConnectAnswer, type ConnectStatus } from '../core/tunnel/connect-head.ts'
import type { StreamSocket } from '../core/tunnel/stream-sockets.ts'
import type { DialledRecord, RelayEnd } from '../core/tunnel/tunnel-observer.ts'
import { livePhase, SocketRelay, type RelayOwner, type RelayStage } from './socket-relay.ts'

export interface DialFailure {
  readonly status: Exclude<ConnectStatus, 200>
  /** In words: what was dialled, and what the system said. */
  readonly detail: string
}

/** One of these is called, once, unless the dial is abandoned. */
export interface DialResult {
  /**
   * @param first what the socket is sent before anything else
   * @param over to be called when the connection has ended
   */
  connected(socket: StreamSocket, first?: Uint8Array, over?: (isUnanswered: boolean) => void): void
  failed(failure: DialFailure): void
}

export interface DialUnderWay {
  /** Nobody waits for it any more. */
  abandon(): void
}

/** What the streams of a session have in common. */
export interface StreamDialler {
  /** Whether the other side is told why, beside the status. */
  readonly tellsWhy: boolean
  /** @param target `host:port`, as it was asked for @returns undefined where the result is told already */
  dial(target: string, result: DialResult): DialUnderWay | undefined
  /** @param dialMs undefined: there was no result */
  ended(record: DialledRecord, dialMs: number | undefined): void
}

const nothingEarly: Uint8Array[] = []

export class DialledStream implements StreamHandler, DialResult, RelayOwner {
  readonly #stream: MuxStream
  readonly #dialler: StreamDialler
  #head: ConnectHeadReader | undefined = new ConnectHeadReader()
  #phase: RelayStage = 'head'
  #early = nothingEarly
  #finished = false
  #target: string | undefined
  #dial: DialUnderWay | undefined
  /** Of the dial; until it has a result: when it began. */
  #dialMs = 0
  #relay: SocketRelay | undefined
  #status: ConnectStatus | undefined
  #over: ((isUnanswered: boolean) => void) | undefined

  constructor(stream: MuxStream, dialler: StreamDialler) {
    this.#stream = stream
    this.#dialler = dialler
  }

  data(bytes: Uint8Array): void {
    switch (this.#phase) {
      case 'head': this.#readHead(bytes); break
      case 'dialling': this.#keep(bytes); break
      // It is the relay that is called then.
      case 'relaying':
      case 'ended': break
      default: this.#phase satisfies never
    }
  }

  finished(): void {
    this.#finished = true
    if (this.#phase === 'head') this.#refuse(400, 'FIN before the head was whole')
  }

  reset(): void {
    this.#dial?.abandon()
    this.#end('abandoned', 'the other side reset it, or its session ended')
  }

  get phase(): ReturnType<typeof livePhase> {
    return livePhase(this.#phase, this.#relay)
  }

  /** So far. */
  get moved(): { readonly toUpstreamBytes: number; readonly fromUpstreamBytes: number } {
    const { toSocketBytes = 0, fromSocketBytes = 0 } = this.#relay ?? {}
    return { toUpstreamBytes: toSocketBytes, fromUpstreamBytes: fromSocketBytes }
  }

  /** Resets it on both sides. @returns whether it was open */
  close(): boolean {
    if (this.#phase === 'ended') return false
    this.#dial?.abandon()
    this.#end('closed-by-operator', '')
    this.#stream.reset()
    this.#relay?.reset()
    return true
  }

  writable(): void {
    // Answers are short.
  }

  #readHead(bytes: Uint8Array): void {
    const stream = this.#stream
    const head = this.#head?.push(bytes)
    if (head === undefined) {
      stream.consumed(bytes.length)
      return
    }
    this.#head = undefined
    this.#target = head.kind === 'head' ? connectTargetIn(head.firstLine) : undefined
    if (head.kind === 'malformed' || this.#target === undefined) {
      this.#refuse(400, head.kind === 'malformed' ? head.detail : 'no CONNECT')
      return
    }
    stream.consumed(bytes.length - head.rest.length)
    if (head.rest.length > 0) this.#keep(head.rest)
    this.#phase = 'dialling'
    // A reset does not undo a dial at once: the stream counts until that is over.
    stream.hold()
    this.#dialMs = performance.now()
    const dial = this.#dialler.dial(this.#target, this)
    if (this.#phase === 'dialling') this.#dial = dial
  }

  #keep(bytes: Uint8Array): void {
    if (this.#early === nothingEarly) this.#early = [bytes]
    else this.#early.push(bytes)
  }

  connected(socket: StreamSocket, first?: Uint8Array, over?: (isUnanswered: boolean) => void): void {
    const stream = this.#stream
    this.#dial = undefined
    this.#dialMs = performance.now() - this.#dialMs
    this.#over = over
    this.#phase = 'relaying'
    this.#status = 200
    stream.write(encodeConnectAnswer(200))
    if (first !== undefined) socket.write(first)
    const relay = new SocketRelay(stream, socket, this)
    this.#relay = relay
    stream.handler = relay
    for (const bytes of this.#early) relay.data(bytes)
    this.#early = nothingEarly
    if (this.#finished) relay.finished()
  }

  failed({ status, detail }: DialFailure): void {
    this.#dialMs = performance.now() - this.#dialMs
    this.#refuse(status, detail)
  }

  relayEnded(end: RelayEnd): void {
    this.#over?.(this.#relay?.isUnanswered === true)
    this.#end(end, '')
  }

  #refuse(status: Exclude<ConnectStatus, 200>, detail: string): void {
    const stream = this.#stream
    this.#dial = undefined
    this.#status = status
    stream.write(encodeConnectAnswer(status, this.#dialler.tellsWhy ? detail : undefined))
    stream.finish()
    for (const bytes of this.#early) stream.consumed(bytes.length)
    this.#early = nothingEarly
    this.#end('refused', detail)
  }

  #end(end: DialledRecord['end'], detail: string): void {
    if (this.#phase === 'ended') return
    const wasDialled = this.#status !== undefined && this.#target !== undefined
    this.#phase = 'ended'
    this.#stream.release()
    this.#dialler.ended({ target: this.#target, status: this.#status, end, detail, ...this.moved }, wasDialled ? this.#dialMs : undefined)
  }
}
