// The agent: sessions with all its gateways, and listeners whose connections go through the healthiest of them.

import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import { WindowBudget } from '../../core/mux/window.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { AgentObserver, ForwardFacts } from '../../core/tunnel/agent-observer.ts'
import { Forwarder } from './forwarder.ts'
import { GatewayLink } from './gateway-link.ts'
import type { HttpProxy } from './http-proxy.ts'
import { loadNodeKey } from './node-key.ts'

export interface AgentOptions {
  readonly gateways: readonly URL[]
  /** PEM; undefined: the system's. */
  readonly caPem: string | undefined
  /** On the way to the gateways. @default none */
  readonly proxy?: HttpProxy | undefined
  readonly node: string
  readonly stateDirectory: string
  readonly token: () => string | undefined
  readonly forward: readonly SocketAddress[]
  readonly observer: AgentObserver
}

export class Agent {
  readonly links: readonly GatewayLink[]
  readonly #forwarders: readonly Forwarder[]

  /** @throws {NodeKeyError} */
  constructor({ gateways, caPem, proxy, node, stateDirectory, token, forward, observer }: AgentOptions) {
    const key = loadNodeKey(stateDirectory)
    const budget = new WindowBudget()
    this.links = gateways.map((gateway) => new GatewayLink({
      gateway, caPem, proxy, node, key, token, budget,
      changed: (link) => {
        observer.linkChanged(link)
        if (link.state.kind === 'up') for (const forwarder of this.#forwarders) forwarder.sessionUp()
      },
      refused: (link, why) => observer.linkRefused(link, why),
    }))
    this.#forwarders = forward.map((listen) => new Forwarder({ listen, open: (handler) => this.#open(handler), ended: (record) => observer.connectionEnded(record) }))
  }

  /**
   * Binds, and begins to connect; a gateway that is away is waited for.
   * @returns the bound addresses
   */
  async start(): Promise<readonly SocketAddress[]> {
    const bound: SocketAddress[] = []
    try {
      for (const forwarder of this.#forwarders) bound.push(await forwarder.bind())
    } catch (error) {
      this.stop()
      throw error
    }
    for (const link of this.links) link.start()
    return bound
  }

  get isUp(): boolean {
    return this.links.some(({ state }) => state.kind === 'up')
  }

  get forwards(): readonly ForwardFacts[] {
    return this.#forwarders
  }

  get connectionCount(): number {
    return this.#forwarders.reduce((sum, { connectionCount }) => sum + connectionCount, 0)
  }

  stop(): void {
    for (const forwarder of this.#forwarders) forwarder.close()
    for (const link of this.links) link.close()
  }

  /** Through the session with the shortest round trip; of equals, the one with the fewest streams. */
  #open(handler: StreamHandler): MuxStream | undefined {
    const byHealth = this.links.filter(({ state }) => state.kind === 'up').toSorted((one, other) => (one.rttMs ?? Infinity) - (other.rttMs ?? Infinity) || one.streamCount - other.streamCount)
    for (const link of byHealth) {
      const stream = link.open(handler)
      if (stream !== undefined) return stream
    }
    return undefined
  }
}
