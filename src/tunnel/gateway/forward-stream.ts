// A stream that an agent has opened, to the API server of its session's tenant, whatever it asks for: the head is read, the
// API server dialled, the dial's true result answered, and from then on bytes are relayed.
//
//   head ─▶ dialling (what comes early waits, no more than the window) ─▶ relaying ─▶ ended

import type { Socket } from 'node:net'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import { encodeProxyHeader } from '../../core/proxy-protocol/encode.ts'
import type { TenantPolicy } from '../../core/snapshot.ts'
import { ConnectHeadReader, connectTargetIn, encodeConnectAnswer, type ConnectStatus } from '../../core/tunnel/connect-head.ts'
import type { ForwardRecord } from '../../core/tunnel/tunnel-observer.ts'
import { SocketRelay } from '../socket-relay.ts'
import { Dial } from './dial.ts'

export interface ForwardStreamOptions {
  readonly stream: MuxStream
  /** The current policy of the session's tenant; undefined: it is gone. */
  readonly tenant: TenantPolicy | undefined
  /** The agent's, for a PROXY header. */
  readonly agent: SocketAddress
  readonly gateway: SocketAddress
  readonly ended: (record: ForwardRecord) => void
}

export class ForwardStream implements StreamHandler {
  readonly #options: ForwardStreamOptions
  readonly #head = new ConnectHeadReader()
  #phase: 'head' | 'dialling' | 'relaying' | 'ended' = 'head'
  #early: Uint8Array[] = []
  #finished = false
  #dial: Dial | undefined
  #relay: SocketRelay | undefined
  #status: ConnectStatus | undefined

  constructor(options: ForwardStreamOptions) {
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
    else this.#end('abandoned', 'the agent reset it, or its session ended')
  }

  writable(): void {
    this.#relay?.writable()
  }

  #readHead(bytes: Uint8Array): void {
    const { stream, tenant } = this.#options
    const head = this.#head.push(bytes)
    if (head === undefined) {
      stream.consumed(bytes.length)
      return
    }
    if (head.kind === 'malformed' || connectTargetIn(head.firstLine) === undefined) {
      this.#refuse(400, head.kind === 'malformed' ? head.detail : 'no CONNECT')
      return
    }
    stream.consumed(bytes.length - head.rest.length)
    if (head.rest.length > 0) this.#early.push(head.rest)
    if (tenant === undefined) {
      this.#refuse(503, 'its tenant is no longer in the configuration')
      return
    }
    this.#phase = 'dialling'
    // A reset does not undo a dial at once: the stream counts until that is over.
    stream.hold()
    this.#dial = new Dial(tenant, {
      connected: (socket) => this.#connected(socket, tenant),
      failed: ({ status, detail }) => this.#refuse(status, detail),
    })
  }

  #connected(socket: Socket, tenant: TenantPolicy): void {
    const { stream, agent, gateway } = this.#options
    this.#dial = undefined
    this.#phase = 'relaying'
    this.#status = 200
    stream.write(encodeConnectAnswer(200))
    const relay = new SocketRelay(stream, socket, (end) => this.#end(end, ''))
    this.#relay = relay
    if (tenant.sendProxyProtocol !== undefined) socket.write(encodeProxyHeader({ version: tenant.sendProxyProtocol, source: agent, destination: gateway }))
    for (const bytes of this.#early) relay.data(bytes)
    this.#early = []
    if (this.#finished) relay.finished()
  }

  #refuse(status: Exclude<ConnectStatus, 200>, detail: string): void {
    const { stream } = this.#options
    this.#status = status
    stream.write(encodeConnectAnswer(status))
    stream.finish()
    for (const bytes of this.#early) stream.consumed(bytes.length)
    this.#early = []
    this.#end('refused', detail)
  }

  #end(end: ForwardRecord['end'], detail: string): void {
    if (this.#phase === 'ended') return
    this.#phase = 'ended'
    const { stream, ended } = this.#options
    stream.release()
    const totals = this.#relay?.totals
    ended({ status: this.#status, end, detail, toUpstreamBytes: totals?.toSocketBytes ?? 0, fromUpstreamBytes: totals?.fromSocketBytes ?? 0 })
  }
}
