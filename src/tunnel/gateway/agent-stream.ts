// A stream that an agent has opened: it goes to its tenant's API server, whatever it asks for, and is one of its tenant's
// connections for those who run the gateway.

import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { Admission } from '../../core/limit/admission.ts'
import { noHold } from '../../core/limit/holds.ts'
import type { Candidate, LiveConnection } from '../../core/live/live-connection.ts'
import type { LiveItem, LiveItems } from '../../core/live/live-items.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import { parseIpAddress } from '../../core/net/ip-address.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import { sentProxyHeader } from '../../core/proxy-protocol/sent-header.ts'
import type { TenantPolicy } from '../../core/snapshot.ts'
import type { StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import type { DialledRecord, SessionFacts, TunnelObserver } from '../../core/tunnel/tunnel-observer.ts'
import { DialledStream, type DialResult, type DialUnderWay, type StreamDialler } from '../dialled-stream.ts'
import { Dial } from './dial.ts'

/** What the streams of a session have in common. */
export interface AgentSession {
  readonly facts: SessionFacts
  readonly sockets: StreamSockets
  readonly agent: SocketAddress
  readonly gateway: SocketAddress
  readonly tenant: () => TenantPolicy | undefined
  readonly admission: Admission | undefined
  readonly live: LiveItems
  readonly observer: TunnelObserver
}

export class AgentStream implements StreamDialler, LiveItem {
  readonly tellsWhy = false
  readonly #mux: MuxStream
  readonly #session: AgentSession
  readonly #stream: DialledStream
  readonly #slot: number
  readonly #openedAtMs = Date.now()
  /** Undefined until it is dialled for. */
  #endpoint: Endpoint | undefined

  constructor(mux: MuxStream, session: AgentSession) {
    this.#mux = mux
    this.#session = session
    this.#stream = new DialledStream(mux, this)
    this.#slot = session.live.add(this)
  }

  /** Of the stream. */
  get handler(): StreamHandler {
    return this.#stream
  }

  get id(): string {
    return `${this.#session.facts.id}.${this.#mux.id}`
  }

  dial(_target: string, result: DialResult): DialUnderWay | undefined {
    const { sockets, agent, gateway, tenant, admission } = this.#session
    const policy = tenant()
    const hold = policy === undefined ? 'its tenant is no longer in the configuration' : admission?.stream(policy, agent.address) ?? noHold
    if (policy === undefined || typeof hold === 'string') {
      result.failed({ status: 503, detail: String(hold) })
      return undefined
    }
    return new Dial({
      sockets, tenant: policy, source: agent.address,
      mayRetry: () => admission?.retry(policy) ?? true,
      dialling: (endpoint) => {
        this.#endpoint = endpoint
      },
      first: proxyHeader(policy, { source: agent, destination: gateway, id: this.id }),
      left: () => admission?.leave(hold),
    }, result)
  }

  ended(record: DialledRecord): void {
    const { live, observer, facts } = this.#session
    live.remove(this.#slot)
    observer.streamEnded(facts, { ...record, id: this.id })
  }

  get candidate(): Candidate {
    const { facts, agent } = this.#session
    return { kind: 'stream', tenant: facts.tenant, endpoint: this.#endpoint, id: () => this.id, client: () => parseIpAddress(agent.address) }
  }

  live(slot: number): LiveConnection {
    const { phase, moved } = this.#stream
    const { facts, agent } = this.#session
    return {
      id: this.id, slot, kind: 'stream', phase,
      tenant: facts.tenant,
      client: agent,
      node: facts.keyId,
      ...(this.#endpoint === undefined ? {} : { endpoint: this.#endpoint.name }),
      acceptedAtMs: this.#openedAtMs,
      bytesFromDownstream: moved.toUpstreamBytes,
      bytesFromUpstream: moved.fromUpstreamBytes,
    }
  }

  close(): boolean {
    return this.#stream.close()
  }
}

/** Nobody reads a stream's hello here: there is no name to tell. */
function proxyHeader({ sendProxyProtocol: sent }: TenantPolicy, { source, destination, id }: { readonly source: SocketAddress; readonly destination: SocketAddress; readonly id: string }): Uint8Array | undefined {
  return sent === undefined ? undefined : sentProxyHeader(sent, { source, destination, uniqueId: new TextEncoder().encode(id) })
}
