// A stream that an agent has opened, as those who run the gateway see it: one of its tenant's connections.

import type { Candidate, LiveConnection } from '../../core/live/live-connection.ts'
import { parseIpAddress } from '../../core/net/ip-address.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { SessionFacts } from '../../core/tunnel/tunnel-observer.ts'
import type { DialledStream } from '../dialled-stream.ts'
import type { Dial } from './dial.ts'

export class AgentStream {
  readonly id: string
  readonly #session: SessionFacts
  readonly #agent: SocketAddress
  readonly #stream: () => DialledStream
  readonly #openedAtMs = Date.now()
  /** Undefined until it is dialled for. */
  dial: Dial | undefined

  constructor({ id, session, agent, stream }: { readonly id: string; readonly session: SessionFacts; readonly agent: SocketAddress; readonly stream: () => DialledStream }) {
    this.id = id
    this.#session = session
    this.#agent = agent
    this.#stream = stream
  }

  get candidate(): Candidate {
    return { tenant: this.#session.tenant, endpoint: this.dial?.endpoint, id: () => this.id, client: () => parseIpAddress(this.#agent.address) }
  }

  live(slot: number): LiveConnection {
    const { phase, moved } = this.#stream()
    const endpoint = this.dial?.endpoint?.name
    return {
      id: this.id, slot, phase,
      tenant: this.#session.tenant,
      client: this.#agent,
      node: this.#session.keyId,
      ...(endpoint === undefined ? {} : { endpoint }),
      acceptedAtMs: this.#openedAtMs,
      bytesFromDownstream: moved.toUpstreamBytes,
      bytesFromUpstream: moved.fromUpstreamBytes,
    }
  }

  close(): boolean {
    return this.#stream().close()
  }
}
