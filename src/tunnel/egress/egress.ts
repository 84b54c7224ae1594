// The egress of one thread: entries that API servers connect to, and the agents of all threads and gateways that may be asked.
//
//   API server ─ CONNECT ─▶ EgressServer ─▶ EgressConnection ─▶ ReverseDial ─▶ a session of this thread
//                                                                          └─▶ a link to its thread, or to its gateway
//
// Whoever knows of sessions elsewhere tells this one (`seen`, `gone`), and has links made to where they are.

import type { Socket } from 'node:net'
import { AgentTable } from '../../core/egress/agent-table.ts'
import type { EgressObserver } from '../../core/egress/egress-observer.ts'
import type { LiveItems } from '../../core/live/live-items.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { ReachableFacts } from '../../core/tunnel/presence-record.ts'
import type { StreamSocket, StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import { EgressConnection, type EgressConnectionOwner } from './egress-connection.ts'
import { EgressServer, entryName, type EgressEntry } from './egress-server.ts'
import { relayedFields, relayedStream } from './relayed-stream.ts'
import type { Way } from './way.ts'

const egressLimits = {
  /** Connections of one thread's entries; more are closed at once. */
  connectionsMax: 20_000,
  /** … of one tenant. */
  connectionsPerTenantMax: 4_000,
  /** Of one tenant, connections that wait for their dial. */
  dialsPerTenantMax: 1_000,
  /** That a connection to a tenant's own socket waits for the tenant: a reload binds the socket first, and may fail at that. */
  tenantMsMax: 2_000,
  /** Connections that do. */
  tenantWaitsMax: 1_000,
  /** Addresses that pass from one node to another are told of together, so often: thousands of agents may announce the same one, of a bridge that every node has. */
  passedEveryMs: 1_000,
} as const

/** Where a session is that is not this thread's. */
export interface Elsewhere {
  readonly open: Way['open']
  /** 1: another thread · 2: another gateway */
  readonly distance: 1 | 2
}

export interface EgressOptions {
  /** Gets the connections. */
  readonly live: LiveItems
  /** Of connections' ids: unique for this thread. */
  readonly idPrefix: string
  readonly isTenant: (name: string) => boolean
  /** For a tenant's connections to end by themselves when the gateway drains. */
  readonly drainMs: (tenant: string) => number
  /** Of entries that are Unix sockets. */
  readonly sockets: StreamSockets
  /** Of entries with TLS: ends a socket whose peer has vanished. */
  readonly watchPeer?: ((socket: Socket) => void) | undefined
  readonly observer: EgressObserver
  /** A session of this thread's has, or has no longer, an address that it announces: who has it is another node than before. */
  readonly addressPassed: (session: Pick<ReachableFacts, 'id' | 'keyId'>) => void
}

export interface EgressFigures {
  readonly connections: number
  readonly dials: number
}

export class Egress {
  readonly #options: EgressOptions
  readonly #table = new AgentTable<Way>()
  readonly #servers = new Map<string, EgressServer>()
  /** And their slots among what lives. */
  readonly #connections = new Map<EgressConnection, number>()
  readonly #perTenant = new Map<string, { connections: number; dials: number }>()
  /** This gateway's. */
  readonly #sessions = new Map<string, { readonly tenant: string; readonly way: Way; readonly distance: number }>()
  /** Connections that came before their tenant. */
  readonly #early = new Map<StreamSocket, { readonly tenant: string; readonly go: () => void; readonly cut: () => void }>()
  #accepts = 0
  #whenEmpty: (() => void)[] = []
  #passedTimer: NodeJS.Timeout | undefined
  /** The end of what was last asked for: entries are opened and closed by one at a time. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: EgressOptions) {
    this.#options = options
  }

  figures(): EgressFigures {
    return { connections: this.#connections.size, dials: [...this.#perTenant.values()].reduce((sum, { dials }) => sum + dials, 0) }
  }

  /** Of entries with TLS, and how each is called. */
  get bound(): readonly { readonly name: string; readonly port: number }[] {
    return [...this.#servers].flatMap(([name, { bound }]) => bound === undefined ? [] : [{ name, port: bound.port }])
  }

  /**
   * These and the ones that there are; those that are there already take on what has changed.
   * @throws an error that names the one that can't be bound: then none of the new ones is
   */
  async open(entries: readonly EgressEntry[]): Promise<void> {
    await this.#inTurn(async () => {
      const opened: EgressServer[] = []
      try {
        for (const entry of entries.filter((each) => !this.#servers.has(entryName(each)))) opened.push(await this.#open(entry))
      } catch (error) {
        for (const server of opened) await server.close()
        throw error
      }
      for (const entry of entries) this.#servers.get(entryName(entry))?.change(entry)
      for (const server of opened) this.#servers.set(entryName(server.entry), server)
    })
  }

  /** All but these accept nothing more; connections go on. */
  async closeOthers(names: readonly string[]): Promise<void> {
    await this.#inTurn(async () => {
      for (const [name, server] of this.#servers) {
        if (names.includes(name)) continue
        this.#servers.delete(name)
        await server.close()
      }
    })
  }

  /** There may be other tenants than before. */
  published(): void {
    for (const { tenant, go } of Array.from(this.#early.values())) if (this.#options.isTenant(tenant)) go()
  }

  /** A session of this thread's has begun. */
  began(session: ReachableFacts, open: Way['open']): void {
    this.#reach(session, { open, fields: [] }, 0)
  }

  /** A session elsewhere. */
  seen(session: ReachableFacts, { open, distance }: Elsewhere): void {
    this.#reach(session, { open, fields: relayedFields(session) }, distance)
  }

  #reach(session: ReachableFacts, way: Way, distance: number): void {
    if (distance < 2) this.#sessions.set(session.id, { tenant: session.tenant, way, distance })
    this.#table.add({ ...session, way, distance })
    this.#tellPassed()
  }

  #tellPassed(): void {
    if (!this.#table.hasPassed || this.#passedTimer !== undefined) return
    this.#passedTimer = setTimeout(() => {
      this.#passedTimer = undefined
      for (const session of this.#table.takePassed()) this.#options.addressPassed(session)
    }, egressLimits.passedEveryMs)
    this.#passedTimer.unref()
  }

  /** As `AgentTable.since`. */
  since(node: Parameters<AgentTable<Way>['since']>[0]): number | undefined {
    return this.#table.since(node)
  }

  /** Of a session's own addresses, those that another node had first. */
  takenAddresses(id: string): ReturnType<AgentTable<Way>['takenAddresses']> {
    return this.#table.takenAddresses(id)
  }

  gone(id: string): void {
    this.#sessions.delete(id)
    this.#table.remove(id)
    this.#tellPassed()
  }

  /**
   * For links: what becomes of a stream that the other end has opened.
   * @param from another gateway does not know which thread has the session; another thread does
   */
  relayed(stream: MuxStream, from: 'thread' | 'gateway'): StreamHandler {
    return relayedStream(stream, ({ id, tenant }) => {
      const session = this.#sessions.get(id)
      return session?.tenant === tenant && (from === 'gateway' || session.distance === 0) ? session.way : undefined
    })
  }

  /** Accepts nothing more; what does not end by itself in its tenant's time is cut. Resolves when no connection is left. */
  async drain(): Promise<void> {
    await this.closeOthers([])
    this.#cutEarly()
    for (const connection of this.#connections.keys()) connection.cutAfter(this.#options.drainMs)
    if (this.#connections.size === 0) return
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve))
  }

  /** Ends everything now. */
  async stop(): Promise<void> {
    clearTimeout(this.#passedTimer)
    await this.closeOthers([])
    this.#cutEarly()
    for (const connection of Array.from(this.#connections.keys())) connection.cut()
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const own = this.#turn.then(work)
    this.#turn = own.catch(() => undefined)
    await own
  }

  async #open(entry: EgressEntry): Promise<EgressServer> {
    return await EgressServer.open(entry, this.#options.sockets, {
      accepted: (socket, { tenant, stranger }) => {
        const isEarly = entry.kind === 'socket' && tenant !== undefined && !this.#options.isTenant(tenant) && this.#early.size < egressLimits.tenantWaitsMax
        const accepted = (): void => this.#accepted(socket, { egress: entryName(entry), claimed: tenant, stranger })
        if (isEarly) this.#wait(socket, tenant, accepted)
        else accepted()
      },
      refused: (detail) => this.#options.observer.egressRefused(entryName(entry), detail),
      connected: this.#options.watchPeer,
    })
  }

  /** What it says stays in the socket, and that it leaves as well. */
  #wait(socket: StreamSocket, tenant: string, accepted: () => void): void {
    const go = (): void => {
      clearTimeout(timer)
      this.#early.delete(socket)
      accepted()
    }
    const timer = setTimeout(go, egressLimits.tenantMsMax)
    const cut = (): void => {
      clearTimeout(timer)
      socket.reset()
    }
    this.#early.set(socket, { tenant, go, cut })
  }

  #cutEarly(): void {
    for (const { cut } of this.#early.values()) cut()
    this.#early.clear()
  }

  #accepted(socket: StreamSocket, { egress, claimed, stranger }: { readonly egress: string; readonly claimed: string | undefined; readonly stranger: string }): void {
    const id = `${this.#options.idPrefix}egress-${(++this.#accepts).toString(36)}`
    const tenant = claimed !== undefined && this.#options.isTenant(claimed) ? claimed : undefined
    const isFull = this.#connections.size >= egressLimits.connectionsMax || (this.#perTenant.get(tenant ?? '')?.connections ?? 0) >= egressLimits.connectionsPerTenantMax
    if (isFull) {
      this.#options.observer.egressEnded({
        id, tenant, target: undefined, node: undefined, status: undefined, refusal: 'too-many', end: 'refused', detail: 'too many connections: closed at once',
        attempts: 0, dialMs: undefined, toNodeBytes: 0, fromNodeBytes: 0,
      })
      socket.reset()
      return
    }
    const counts = this.#countsOf(tenant ?? '')
    counts.connections += 1
    const connection = new EgressConnection({ id, egress, socket, tenant, stranger: claimed === undefined ? stranger : `there is no tenant ${claimed}` }, this.#owner)
    this.#connections.set(connection, this.#options.live.add(connection))
  }

  readonly #owner: EgressConnectionOwner = {
    table: this.#table,
    mayDial: (tenant) => {
      const counts = this.#countsOf(tenant)
      if (counts.dials >= egressLimits.dialsPerTenantMax) return false
      counts.dials += 1
      return true
    },
    dialled: (tenant) => {
      this.#countsOf(tenant).dials -= 1
    },
    ended: (connection, record) => {
      this.#options.observer.egressEnded(record)
      const tenant = record.tenant ?? ''
      const counts = this.#countsOf(tenant)
      counts.connections -= 1
      if (counts.connections === 0) this.#perTenant.delete(tenant)
      const slot = this.#connections.get(connection)
      if (slot !== undefined) this.#options.live.remove(slot)
      this.#connections.delete(connection)
      if (this.#connections.size > 0) return
      for (const wake of this.#whenEmpty.splice(0)) wake()
    },
  }

  /** @param tenant empty: nobody that is known */
  #countsOf(tenant: string): { connections: number; dials: number } {
    const counts = this.#perTenant.get(tenant) ?? { connections: 0, dials: 0 }
    this.#perTenant.set(tenant, counts)
    return counts
  }
}
