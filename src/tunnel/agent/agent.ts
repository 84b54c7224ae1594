// The agent: sessions with all its gateways, and listeners whose connections go through the healthiest of them.

import type { Socket } from 'node:net'
import { WindowBudget } from '../../core/mux/window.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { AgentObserver, ForwardFacts, LinkFacts, ReverseFacts } from '../../core/tunnel/agent-observer.ts'
import type { StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import type { ClientCertificate } from './credentials.ts'
import { DirectLane, type CreateLaneRelay } from './direct-lane.ts'
import { Forwarder, type Lane } from './forwarder.ts'
import { GatewayLinks } from './gateway-links.ts'
import type { HttpProxy } from './http-proxy.ts'
import { loadNodeKey } from './node-key.ts'
import { ReverseStreams, type ReverseOptions } from './reverse-streams.ts'
import { ToldGateways } from './told-gateways.ts'

export interface AgentOptions {
  /** Of the node's connections, and to what API servers reach. */
  readonly sockets: StreamSockets
  /** Of the configuration; gateways tell of others. */
  readonly gateways: readonly URL[]
  /** To hold at one time. @default Infinity: with all gateways */
  readonly sessions?: number
  /** PEM; undefined: the system's. */
  readonly caPem: string | undefined
  /** On the way to the gateways. @default none */
  readonly proxy?: HttpProxy | undefined
  readonly node: string
  /** The node's own, as `canonicalAddress` writes them. @default none */
  readonly addresses?: readonly string[]
  /** What API servers may reach by this agent. @default nothing */
  readonly reverse?: ReverseOptions
  /** As of `ReverseStreamsOptions`. */
  readonly watchPeer?: (socket: Socket) => void
  readonly stateDirectory: string
  readonly token: () => string | undefined
  /** In place of a token and of a key in `stateDirectory`; read at each try. @throws where it can't be used */
  readonly certificate?: (() => ClientCertificate) | undefined
  readonly forward: readonly { readonly listen: SocketAddress; readonly lane?: Lane }[]
  /** What relays the direct lane; absent, or with a proxy on the way: there is none. */
  readonly createLaneRelay?: CreateLaneRelay
  readonly observer: AgentObserver
  /** A failure that belongs to no link and no connection. */
  readonly failed: (error: unknown, context: string) => void
}

const nothingAllowed: ReverseOptions = { allow: [], announce: [], dialTimeoutMs: 1 }

export class Agent {
  readonly #links: GatewayLinks
  readonly #lane: DirectLane | undefined
  readonly #forwarders: readonly Forwarder[]
  readonly #reverse: ReverseStreams

  /** @throws {NodeKeyError} */
  constructor({ sockets, gateways, sessions = Infinity, caPem, proxy, node, addresses = [], reverse = nothingAllowed, stateDirectory, token, certificate, forward, createLaneRelay, observer, failed }: AgentOptions) {
    this.#reverse = new ReverseStreams({ ...reverse, sockets, node: { name: node, addresses }, ended: (record) => observer.reverseEnded(record) })
    this.#links = new GatewayLinks({
      announced: { addresses, ranges: reverse.announce, names: [...new Set(reverse.allow.flatMap((entry) => entry.kind === 'host' ? entry.host : []))] },
      opened: (stream, gateway) => this.#reverse.opened(stream, gateway),
      configured: gateways, sessions, caPem, proxy, node,
      credentials: certificate === undefined ? { kind: 'key', key: loadNodeKey(stateDirectory), token } : { kind: 'certificate', read: certificate },
      budget: new WindowBudget(),
      told: new ToldGateways(stateDirectory, (error) => failed(error, 'the list of gateways could not be kept for the next start')),
      changed: (link) => {
        observer.linkChanged(link)
        this.#lane?.refresh()
        if (link.state.kind === 'up') for (const forwarder of this.#forwarders) forwarder.sessionUp()
      },
      heard: (link, { lane, refused }) => {
        if (lane !== undefined) this.#lane?.refresh()
        if (refused !== undefined) observer.announcementsRefused(link)
      },
      refused: (link, why) => observer.linkRefused(link, why),
    })
    this.#lane = createLaneRelay === undefined || proxy !== undefined ? undefined : new DirectLane({ links: () => this.#links.all, create: createLaneRelay })
    this.#forwarders = forward.map(({ listen, lane = 'mux' }) => new Forwarder({ sockets, listen, lane, direct: lane === 'mux' ? undefined : this.#lane, open: (handler) => this.#links.open(handler), ended: (record) => observer.connectionEnded(record), failed: (error) => failed(error, 'a connection of the node could not be accepted') }))
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
      await this.stop()
      throw error
    }
    this.#links.start()
    return bound
  }

  get isUp(): boolean {
    return this.#links.isUp
  }

  get links(): readonly LinkFacts[] {
    return this.#links.all
  }

  get forwards(): readonly ForwardFacts[] {
    return this.#forwarders
  }

  get reverse(): ReverseFacts {
    return this.#reverse.facts
  }

  get connectionCount(): number {
    return this.#forwarders.reduce((sum, { connectionCount }) => sum + connectionCount, 0)
  }

  async stop(): Promise<void> {
    for (const forwarder of this.#forwarders) forwarder.close()
    this.#links.close()
    await this.#lane?.stop()
  }
}
