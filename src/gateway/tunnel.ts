// The tunnel in a gateway: its store, its certificate, its observer, and connections that the relay's driver hands over.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { EgressConfig, Settings, TunnelConfig } from '../config/config.ts'
import { SharedActiveCounts, type ActiveCells } from '../core/balance/active-counts.ts'
import { SharedEndpointStates } from '../core/balance/endpoint-states.ts'
import type { Claim } from '../core/identity/admission.ts'
import { Admission } from '../core/limit/admission.ts'
import { SharedPace } from '../core/limit/shared-pace.ts'
import type { LiveThread } from '../core/live/live-connection.ts'
import { WindowBudget } from '../core/mux/window.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import type { SnapshotChange } from '../core/snapshot.ts'
import { figuresOf } from '../core/tunnel/tunnel-figures.ts'
import type { Logger } from '../observe/log.ts'
import type { Observation } from '../observe/observation.ts'
import type { HandedOver, RelayDriver } from '../relay/driver.ts'
import { PeerWatch } from '../relay/node/peer-watch.ts'
import { createTicketSecrets, type TicketSecrets } from '../relay/tickets.ts'
import { Identities } from '../state/identities.ts'
import { Presence } from '../state/presence.ts'
import type { Store } from '../state/store.ts'
import { entryName, type EgressEntry } from '../tunnel/egress/egress-server.ts'
import type { Certificate } from '../tunnel/gateway/tunnel-gateway.ts'
import { createNodeSockets } from '../tunnel/node-sockets.ts'
import { createIdentity } from '../tunnel/egress/peer-identity.ts'
import { TunnelSide, type TunnelSideOptions } from '../tunnel/gateway/tunnel-side.ts'
import { laneGrants } from './lane-grants.ts'
import type { SharedAdmission } from './relay-driver.ts'
import { readCertificate, readEgress } from './tunnel-certificate.ts'
import { tellAgain, TunnelEventPoster, type TunnelEvent } from './tunnel-events.ts'
import { TunnelThreads } from './tunnel-threads.ts'

export interface TunnelOptions {
  readonly settings: Settings
  /** Whoever has opened it closes it. */
  readonly store: Store | undefined
  readonly configFile: string
  readonly logger: Logger
}

/**
 * @returns undefined where the configuration has no tunnel
 * @throws {StoreUnavailableError | CertificateError}
 */
export async function openTunnel({ settings: { tunnel }, store, configFile, logger }: TunnelOptions): Promise<Tunnel | undefined> {
  if (tunnel === undefined || store === undefined) return undefined
  const folder = dirname(configFile)
  const certificate = await readCertificate(tunnel, folder)
  return await Tunnel.open({ tunnel, certificate, folder, store, logger })
}

interface TunnelParts {
  readonly tunnel: TunnelConfig
  readonly certificate: Certificate
  /** That relative paths begin at. */
  readonly folder: string
  readonly store: Store
  readonly logger: Logger
}

export class Tunnel {
  readonly #folder: string
  readonly #logger: Logger
  readonly #parts: Pick<TunnelParts, 'tunnel' | 'certificate'>
  readonly #identities: Identities
  /** For the driver; undefined: there is no direct lane. */
  readonly tickets: TicketSecrets | undefined
  /** That a driver which hands over descriptors has beside its own. */
  readonly threads: number
  #driver: RelayDriver | undefined
  #side: TunnelSide | TunnelThreads | undefined
  /** With the other gateways; undefined: this one is alone. */
  readonly #presence: Presence | undefined
  readonly #peering: TunnelSideOptions['peering']
  #egress: readonly EgressEntry[] = []
  #watch: { close(): void } | undefined

  private constructor({ tunnel, certificate, folder, store, logger }: TunnelParts) {
    this.#parts = { tunnel, certificate }
    this.#folder = folder
    this.#logger = logger
    this.#identities = new Identities(store)
    this.tickets = tunnel.directLane ? createTicketSecrets() : undefined
    this.threads = tunnel.threads === 'auto' ? Math.max(1, Math.floor(availableParallelism() / 2)) : tunnel.threads
    const { hostnames: [tunnelHostname], peerAddress } = tunnel
    if (peerAddress === undefined || tunnelHostname === undefined) return
    const own = createIdentity()
    this.#peering = { own, tunnelHostname }
    this.#presence = new Presence({
      store,
      own: { id: own.id, publicKey: own.publicKey, at: { host: peerAddress.address, port: peerAddress.port } },
      others: {
        gatewaySeen: (gateway) => {
          logger.info({ gateway: gateway.id, at: formatSocketAddress({ address: gateway.at.host, port: gateway.at.port }) }, 'another gateway')
          this.#side?.gatewaySeen(gateway)
        },
        gatewayGone: (id) => {
          logger.info({ gateway: id }, 'another gateway is gone')
          this.#side?.gatewayGone(id)
        },
        sessionSeen: (id, session) => this.#side?.seen(session, { kind: 'gateway', id }),
        sessionGone: (id) => this.#side?.gone(id),
      },
      failed: (error, context) => logger.error({ error: String(error) }, context),
    })
  }

  static async open(parts: TunnelParts): Promise<Tunnel> {
    const tunnel = new Tunnel(parts)
    tunnel.#watch = await tunnel.#identities.watchRevocations(
      (keyId) => tunnel.#revoke(keyId),
      (why) => tunnel.#logger.error({ error: why }, 'the store is away: nodes that are known are let in, no other, and revocations wait'),
      () => tunnel.#logger.info({}, 'the store is back'),
    )
    return tunnel
  }

  /**
   * Once, before the driver accepts.
   * @param parts the driver hands over descriptors, which threads can take, or sockets of this one; `active` counts connections by
   *   endpoint, with room for `threads` of these
   */
  begin({ observation, driver, active, admission }: { readonly observation: Observation; readonly driver: RelayDriver; readonly active: ActiveCells; readonly admission: SharedAdmission }): void {
    this.#driver = driver
    const ticketSecret = this.tickets?.secret
    const { tunnel: { handshakesPerSecond, gateways }, certificate } = this.#parts
    const observer = observation.observeTunnel(async () => await this.#side?.figures() ?? figuresOf({}))
    const observed = (events: readonly TunnelEvent[]): void => {
      for (const event of events) {
        if (event.name === 'sessionStarted' || event.name === 'sessionChanged') this.#presence?.began(event.arguments[0])
        else if (event.name === 'sessionLeaving' || event.name === 'sessionEnded') this.#presence?.ended(event.arguments[0].id)
      }
      tellAgain(observer, events)
    }
    const options = {
      certificate, gateways, peering: this.#peering,
      admit: async (claim: Claim) => await this.#identities.admit(claim),
      isRevoked: async (keyId: string) => await this.#identities.isRevoked(keyId),
    }
    const peers = new PeerWatch()
    this.#side = driver.kind === 'linux'
      ? new TunnelThreads({ ...options, handshakesPerSecond, ticketSecret, observed, active, admission, threads: this.threads })
      : new TunnelSide({
          ...options, ...laneGrants(ticketSecret), watchPeer: (socket) => peers.watch(socket), threads: 1, idPrefix: `${randomBytes(4).toString('hex')}-`, observer: new TunnelEventPoster(observed),
          pace: new SharedPace({ ratePerSecond: handshakesPerSecond }), budget: new WindowBudget(), sockets: createNodeSockets((socket) => peers.watch(socket)),
          // In the driver's own thread.
          scheduling: { active: new SharedActiveCounts(active, 0), states: new SharedEndpointStates(active) },
          admission: new Admission({ tables: admission.tables, thread: admission.firstTunnelThread, nowNs: () => process.hrtime.bigint() }),
        })
  }

  /** Once, when other gateways can reach this one. */
  async meetOthers(): Promise<void> {
    await this.#presence?.open()
  }

  #revoke(keyId: string): void {
    this.#side?.revoke(keyId)
    this.#driver?.revoke(keyId).catch((error: unknown) => this.#logger.error({ error: String(error), node: keyId }, 'a revoked node’s direct connections could not be cut'))
  }

  publish(change: SnapshotChange): void {
    this.#side?.publish(change)
  }

  /** Streams of agents, by the thread that has them. */
  get live(): readonly LiveThread[] {
    const side = this.#side
    if (side === undefined) return []
    if (side instanceof TunnelThreads) return side.live
    return [{
      scan: async (request) => {
        await nextTurn()
        return side.scan(request)
      },
      close: async (refs) => await Promise.resolve(side.close(refs)),
    }]
  }

  /** From a driver of this thread. */
  takeSocket({ head }: HandedOver, socket: Socket): void {
    if (!(this.#side instanceof TunnelSide)) throw new Error('bug: threads take descriptors')
    socket.unshift(head)
    this.#side.take(socket)
  }

  /** From a driver's worker. */
  takeDescriptor({ head }: HandedOver, fd: number): void {
    if (!(this.#side instanceof TunnelThreads)) throw new Error('bug: this thread takes sockets')
    this.#side.take(fd, head)
  }

  /** @throws {CertificateError} and then the one before goes on */
  async readCertificate(tunnel: TunnelConfig): Promise<Certificate> {
    return await readCertificate(tunnel, this.#folder)
  }

  /** What a reload can change: the certificate holds for handshakes from now on, the list is told to every agent, and the name is what other gateways are asked for. */
  reload({ gateways, hostnames: [hostname] }: TunnelConfig, certificate: Certificate): void {
    this.#side?.setCertificate(certificate)
    this.#side?.setGateways(gateways)
    if (hostname !== undefined) this.#side?.setTunnelHostname(hostname)
  }

  /** @throws {CertificateError} */
  async readEgress(entries: readonly EgressConfig[]): Promise<readonly EgressEntry[]> {
    return await readEgress(entries, this.#folder)
  }

  /** That are open. */
  get egress(): readonly EgressEntry[] {
    return this.#egress
  }

  /**
   * Opens these beside those that there are; `closeOtherEgress` then closes what is not among them.
   * @throws an error that names the one that can't be bound: then it is as before
   */
  async openEgress(entries: readonly EgressEntry[]): Promise<void> {
    const before = this.#egress
    try {
      await this.#side?.openEgress(entries)
    } catch (error) {
      await this.#side?.openEgress(before)
      await this.#side?.closeOtherEgress(before.map(entryName))
      throw error
    }
    this.#egress = entries
  }

  async closeOtherEgress(): Promise<void> {
    await this.#side?.closeOtherEgress(this.#egress.map(entryName))
  }

  async drain(): Promise<void> {
    await this.#side?.drain()
  }

  async stop(): Promise<void> {
    this.#watch?.close()
    await this.#side?.stop()
    await this.#presence?.close()
  }

  /** One of its threads, where it has any, throws as a bug would. */
  crashThread(turn: number): void {
    if (this.#side instanceof TunnelThreads) this.#side.crash(turn)
  }
}
