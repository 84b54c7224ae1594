// The portable driver: node:net, one event loop.
//
//   listener ─accept─▶ RelayedConnection ⇄ core/connection.ts
//                          └─ ended ─▶ observer, SocketCloser (bytes before a RST, alerts)

import { createServer, type Server, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { noActiveCounts, SharedActiveCounts, type ActiveCells, type ActiveCounts } from '../../core/balance/active-counts.ts'
import { allReady, SharedEndpointStates, type EndpointStates } from '../../core/balance/endpoint-states.ts'
import { refusedRecord, type ConnectionRecord } from '../../core/connection-record.ts'
import { Connection } from '../../core/connection.ts'
import { Admission, type AcceptRefusal } from '../../core/limit/admission.ts'
import type { AdmissionTables } from '../../core/limit/admission-tables.ts'
import { noHold } from '../../core/limit/holds.ts'
import { SourceKey } from '../../core/net/source-key.ts'
import { canonicalAddress } from '../../core/net/ip-address.ts'
import type { LiveThread } from '../../core/live/live-connection.ts'
import { LiveItems } from '../../core/live/live-items.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { RelayCounters, RelayObserver } from '../../core/relay-observer.ts'
import { snapshotChangeSteps } from '../../core/snapshot-change.ts'
import type { Snapshot, SnapshotChange } from '../../core/snapshot.ts'
import type { HandedOver, ListenOptions, RelayDriver } from '../driver.ts'
import { PeerWatch } from './peer-watch.ts'
import { RelayedConnection, type ConnectionHost, type RelayTotals } from './relayed-connection.ts'
import { sharedLookup } from './shared-lookup.ts'
import { ticketFor, TicketJudge, type TicketSecrets } from '../tickets.ts'
import { SocketCloser } from './socket-closer.ts'

/** Connections that the system completes before we accept them: four seconds of a storm. It applies its own cap (net.core.somaxconn). */
const listenBacklog = 16_384

/** A peer that has left before it was asked for its address: the unspecified address stands for it. */
const unknownPeer: SocketAddress = { address: '::', port: 0 }

export interface NodeDriverOptions {
  readonly observer: RelayObserver
  /** Open connections over which new ones are refused. */
  readonly connectionsMax: number
  /** Where this thread is number 0; absent: there are no limits but that. */
  readonly admission?: AdmissionTables
  /** A new connection's id, unique for this process and, in practice, for the fleet. */
  readonly newConnectionId: () => string
  /**
   * Takes connections to tunnel hostnames: `socket` is the taker's, who listens to it before this returns, and stays in this
   * thread. What `socket.unshift(head)` puts in front, a TLS server reads first. Absent: such connections are refused.
   */
  readonly handOver?: (connection: HandedOver, socket: Socket) => void
  /** Of the tunnel's direct lane; absent: nobody comes with a ticket. */
  readonly tickets?: TicketSecrets
  /** This thread is its first; absent: nobody counts connections by endpoint. */
  readonly active?: ActiveCells
}

interface Accepted {
  readonly listener: string
  readonly hold: number
  readonly slot: number
}

export class NodeDriver implements RelayDriver {
  readonly kind = 'node'
  readonly live: readonly LiveThread[] = [{
    scan: async (request) => {
      // Who asks again and again must not keep the loop from its sockets.
      await nextTurn()
      return this.#items.scan(request)
    },
    close: async (refs) => await Promise.resolve(this.#items.close(refs)),
  }]
  readonly #observer: RelayObserver
  readonly #connectionsMax: number
  readonly #newConnectionId: () => string
  readonly #handsOver: boolean
  readonly #tickets: TicketJudge | undefined
  readonly #active: ActiveCounts
  readonly #states: EndpointStates
  readonly #admission: Admission | undefined
  readonly #source = new SourceKey()
  readonly #host: ConnectionHost
  readonly #closer = new SocketCloser()
  readonly #totals: RelayTotals = { bytesFromDownstream: 0, bytesFromUpstream: 0, dials: 0, dialFailures: 0, backpressurePauses: 0 }
  readonly #servers = new Map<string, Server>()
  readonly #connections = new Map<RelayedConnection, Accepted>()
  readonly #items = new LiveItems()
  #accepts = 0
  readonly #openByListener = new Map<string, number>()
  #snapshot: Snapshot | undefined
  #beforeHello = 0
  #acceptErrors = 0
  #draining = false
  #whenEmpty: (() => void)[] = []

  constructor({ observer, connectionsMax, newConnectionId, handOver, tickets, active, admission }: NodeDriverOptions) {
    this.#observer = observer
    this.#connectionsMax = connectionsMax
    this.#newConnectionId = newConnectionId
    this.#handsOver = handOver !== undefined
    this.#tickets = tickets === undefined ? undefined : new TicketJudge(tickets)
    this.#active = active === undefined ? noActiveCounts : new SharedActiveCounts(active, 0)
    this.#states = active === undefined ? allReady : new SharedEndpointStates(active)
    this.#admission = admission === undefined ? undefined : new Admission({ tables: admission, thread: 0, nowNs: () => process.hrtime.bigint() })
    this.#host = {
      closer: this.#closer,
      peerWatch: new PeerWatch(),
      totals: this.#totals,
      lookup: sharedLookup(),
      nowMs: () => performance.now(),
      routed: (connection) => {
        this.#beforeHello -= 1
        this.#admission?.greeted(this.#connections.get(connection)?.hold ?? noHold)
      },
      ended: (connection) => this.#ended(connection),
      handOver: (connection, socket) => handOver?.(connection, socket),
    }
  }

  async publish(change: SnapshotChange): Promise<void> {
    const steps = snapshotChangeSteps(this.#snapshot, change, { active: this.#active, states: this.#states })
    for (;;) {
      const step = steps.next()
      if (step.done === true) {
        this.#snapshot = step.value
        this.#admission?.publish(step.value.limits)
        return
      }
      // A change of every tenant takes longer than a relayed byte should wait.
      await nextTurn()
    }
  }

  async listen(name: string, { address, port }: SocketAddress, { ipv6Only }: ListenOptions): Promise<SocketAddress> {
    if (this.#servers.has(name)) throw new Error(`bug: listener ${name} is bound already`)
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accepted(name, socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: address, port, ipv6Only, backlog: listenBacklog }, () => {
        server.off('error', reject)
        resolve()
      })
    })
    server.on('error', (error) => {
      this.#acceptErrors += 1
      this.#observer.driverError(error, `accept on ${name}`)
    })
    this.#servers.set(name, server)
    this.#openByListener.set(name, this.#openByListener.get(name) ?? 0)
    const bound = server.address()
    if (bound === null || typeof bound === 'string') throw new Error(`bug: ${name} has no TCP address`)
    return { address: bound.address, port: bound.port }
  }

  async unlisten(name: string): Promise<void> {
    const server = this.#servers.get(name)
    if (server === undefined) return
    this.#servers.delete(name)
    // The callback of close() waits for every connection; the port itself is free in the loop's next turn.
    server.close()
    await nextTurn()
  }

  async drain(): Promise<void> {
    this.#draining = true
    const nowMs = this.#host.nowMs()
    for (const connection of Array.from(this.#connections.keys())) connection.step({ kind: 'drain', nowMs })
    await this.#whenNoConnection()
    await this.#closer.whenEmpty()
  }

  async revoke(node: string): Promise<void> {
    this.#tickets?.revoke(node)
    const nowMs = this.#host.nowMs()
    for (const connection of Array.from(this.#connections.keys())) if (connection.machine.node === node) connection.step({ kind: 'stop', reason: 'node-revoked', nowMs })
    return await Promise.resolve()
  }

  async stop(): Promise<void> {
    await Promise.all(Array.from(this.#servers.keys()).map((name) => this.unlisten(name)))
    const nowMs = this.#host.nowMs()
    for (const connection of Array.from(this.#connections.keys())) connection.step({ kind: 'stop', reason: 'gateway-stopped', nowMs })
    await this.#closer.destroyAll()
  }

  counters(): RelayCounters {
    return {
      ...this.#totals,
      openConnections: this.#connections.size,
      openConnectionsBeforeHello: this.#beforeHello,
      openConnectionsByListener: this.#openByListener,
      connectionsMax: this.#connectionsMax,
      acceptErrors: this.#acceptErrors,
    }
  }

  #accepted(name: string, socket: Socket): void {
    const snapshot = this.#snapshot
    const listener = snapshot?.listeners.get(name)
    if (snapshot === undefined || listener === undefined) {
      // The listener left with the last reload, and this connection was in its backlog.
      socket.resetAndDestroy()
      return
    }
    const downstream = peerOf(socket)
    const admission = this.#admission
    const admitted = admission === undefined ? noHold : admission.accept(listener, listener.proxyProtocolTrustedSources === undefined ? this.#source.setText(downstream.address) : undefined)
    if (typeof admitted === 'string' && admitted !== 'connection-limit') {
      socket.resetAndDestroy()
      this.#refused(admitted, { listener: name, downstream, snapshotVersion: snapshot.version })
      return
    }
    const hold = typeof admitted === 'number' ? admitted : noHold
    this.#host.peerWatch.watch(socket, 'client')
    const nowMs = this.#host.nowMs()
    const id = this.#newConnectionId()
    const machine = new Connection({
      id: () => id,
      number: ++this.#accepts,
      listener,
      handsOver: this.#handsOver,
      makeTicket: ticketFor,
      admission: admission?.held(hold, listener),
      judgeTicket: this.#tickets?.judge,
      downstream,
      local: () => ({ address: addressOf(socket.localAddress), port: socket.localPort ?? 0 }),
      acceptedAtMs: Date.now(),
      nowMs,
    }, snapshot)
    const atConnectionLimit = admitted === 'connection-limit' || this.#connections.size + Math.ceil(this.#closer.size / 2) >= this.#connectionsMax
    const connection = new RelayedConnection(socket, machine, this.#host)
    this.#connections.set(connection, { listener: name, hold, slot: this.#items.add(connection) })
    this.#openByListener.set(name, (this.#openByListener.get(name) ?? 0) + 1)
    this.#beforeHello += 1
    connection.start(machine.start({ atConnectionLimit }))
    if (this.#draining) connection.step({ kind: 'drain', nowMs })
  }

  /** At once: it never was one of the driver's connections. */
  #refused(reason: AcceptRefusal, known: Pick<ConnectionRecord, 'listener' | 'downstream' | 'snapshotVersion'>): void {
    const record = (): ConnectionRecord => refusedRecord({ ...known, reason, id: this.#newConnectionId(), acceptedAtMs: Date.now() })
    if (this.#observer.connectionRefused === undefined) this.#observer.connectionEnded(record())
    else this.#observer.connectionRefused({ reason, listener: known.listener }, record)
  }

  #ended(connection: RelayedConnection): void {
    const accepted = this.#connections.get(connection)
    if (accepted === undefined) throw new Error('bug: a connection ended twice')
    const { listener, hold, slot } = accepted
    this.#connections.delete(connection)
    this.#items.remove(slot)
    this.#openByListener.set(listener, (this.#openByListener.get(listener) ?? 0) - 1)
    this.#admission?.leave(hold)
    this.#observer.connectionEnded(connection.record())
    if (this.#connections.size > 0) return
    const waiting = this.#whenEmpty
    this.#whenEmpty = []
    for (const resolve of waiting) resolve()
  }

  async #whenNoConnection(): Promise<void> {
    if (this.#connections.size === 0) return
    await new Promise<void>((resolve) => {
      this.#whenEmpty.push(resolve)
    })
  }
}

function peerOf(socket: Socket): SocketAddress {
  if (socket.remoteAddress === undefined || socket.remotePort === undefined) return unknownPeer
  return { address: addressOf(socket.remoteAddress), port: socket.remotePort }
}

/** A link-local address comes with its zone (`fe80::1%eth0`), which neither a CIDR nor a PROXY header knows. */
function addressOf(text = ''): string {
  return canonicalAddress(text.replace(/%.*$/s, '')) ?? unknownPeer.address
}
