// A worker's connections: one table, and by a slot's state the room that has it in hand.
//
//   accepted ─▶ ConnectionSetup ── relay ──▶ RelayedConnections ⇄ ByteRelay, BatchRelay
//                    └───────── end ─────────────┴──▶ SocketCloser ─▶ slot free
//
// What begins or ends a connection waits in `WaitingEvents` until bytes that are relayed have been seen to.

import type { StopReason } from '../../core/connection-events.ts'
import { refusedRecord, type ConnectionRecord, type RefusedAtAccept } from '../../core/connection-record.ts'
import { Connection } from '../../core/connection.ts'
import { Admission, type AcceptRefusal } from '../../core/limit/admission.ts'
import { noHold } from '../../core/limit/holds.ts'
import type { ProcessLimits } from '../../core/limit/limits.ts'
import { sourceDropOf } from '../../core/limit/source-drops.ts'
import { SourceKey } from '../../core/net/source-key.ts'
import { ListenerTable } from '../../core/listener-table.ts'
import { parseIpAddress, type IpAddress } from '../../core/net/ip-address.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { KernelLaneLeave } from '../../core/kernel-lane-policy.ts'
import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import type { SourceDropped } from '../../core/relay-observer.ts'
import type { ListenerPolicy, Snapshot } from '../../core/snapshot.ts'
import { ConnectionMatcher, scanSlots, type ConnectionRef, type LiveConnection, type Scan, type ScanRequest } from '../../core/live/live-connection.ts'
import { TimerWheel } from '../../core/timer-wheel.ts'
import type { HandedOver } from '../driver.ts'
import { ticketFor, TicketJudge } from '../tickets.ts'
import type { AcceptingListener } from './acceptor.ts'
import { BatchRelay } from './batch-relay.ts'
import type { BatchRing } from './batch-ring.ts'
import { ByteRelay } from './byte-relay.ts'
import { ConnectionSetup } from './connection-setup.ts'
import { ConnectionTable, slotState, tokenBit } from './connection-table.ts'
import { DeferredCalls } from './deferred-calls.ts'
import type { WorkerDescriptors } from './descriptors.ts'
import { KernelLane } from './kernel-lane/kernel-lane.ts'
import { LaneCandidates } from './kernel-lane/lane-candidates.ts'
import type { LaneMaps } from './kernel-lane/lane-maps.ts'
import * as libc from './libc.ts'
import { PeerWatch } from './peer-watch.ts'
import { PendingBytes, type EpochClock } from './pending-bytes.ts'
import { PipePool } from './pipe-pool.ts'
import { RelayedConnections } from './relayed-connections.ts'
import { SocketAddressCell } from './socket-address.ts'
import { SocketCloser } from './socket-closer.ts'
import type { SourceDropper } from './source-dropper.ts'
import { TurnQueue } from './turn-queue.ts'
import { WaitingEvents } from './waiting-events.ts'
import type { FromWorker, RelayWorkerData, ToWorker } from './worker-protocol.ts'

const connectionEvents = libc.EPOLLIN | libc.EPOLLOUT | libc.EPOLLPRI | libc.EPOLLRDHUP | libc.EPOLLET
/** After these a short read does not mean that the socket is empty; recv stops at urgent data (EPOLLPRI) too. */
const endingEvents = libc.EPOLLRDHUP | libc.EPOLLHUP | libc.EPOLLERR | libc.EPOLLPRI
/** Deadlines, and looks at peers, that one turn serves: a storm's come due together as its connections came. Each takes some 3 µs, of a silent connection 12; a whole step, where the thread was held up. */
const duePerTurnMax = 32
/** The peer has sent its last byte. */
const endEvents = libc.EPOLLRDHUP | libc.EPOLLHUP | libc.EPOLLERR

export interface WorkerConnectionsParts {
  readonly data: RelayWorkerData
  readonly cells: RelayCells
  readonly clock: EpochClock
  readonly epoll: libc.Epoll
  readonly descriptors: WorkerDescriptors
  readonly ring: BatchRing | undefined
  /** Absent: every byte goes through this thread. */
  readonly laneMaps: LaneMaps | undefined
  readonly post: (message: FromWorker) => void
  readonly ended: (record: ConnectionRecord) => void
  readonly refused: (refusal: RefusedAtAccept, record: () => ConnectionRecord) => void
  readonly sourceDropped: (dropped: SourceDropped) => void
}

export class WorkerConnections {
  readonly #parts: WorkerConnectionsParts
  readonly #table: ConnectionTable
  readonly #tickets: TicketJudge | undefined
  readonly #admission: Admission | undefined
  readonly #source = new SourceKey()
  readonly #sourceBytes = new Uint8Array(16)
  readonly #wheel: TimerWheel
  readonly #deferred: DeferredCalls
  readonly #queue: TurnQueue
  readonly #waiting: WaitingEvents
  readonly #bytes: ByteRelay
  readonly #batch: BatchRelay
  readonly #closer: SocketCloser
  readonly #relayed: RelayedConnections
  readonly #setup: ConnectionSetup
  readonly #lane: KernelLane | undefined
  readonly #candidates: LaneCandidates | undefined
  readonly #listenerTable: ListenerTable
  readonly #local = new SocketAddressCell()
  readonly #event = { readable: false, writable: false, ending: false }
  /** By worker. */
  readonly #slotsUsed: Int32Array
  readonly #worker: number
  #connections = 0
  #draining = false

  constructor(parts: WorkerConnectionsParts) {
    const { data, cells, clock, epoll, descriptors, ring, laneMaps, post } = parts
    this.#parts = parts
    this.#listenerTable = new ListenerTable(data.listenerTable)
    const table = new ConnectionTable(descriptors.connections)
    const wheel = new TimerWheel({ capacity: data.slots, nowMs: clock.nowMs })
    const pipes = new PipePool(descriptors.pipes, data.pipes)
    const queue = new TurnQueue(table)
    const pending = new PendingBytes({ table, cells, clock, pipes, queue })
    const watch = (token: number): void => this.#watch(token)
    const ended = (slot: number, record: ConnectionRecord): void => this.#ended(slot, record)
    this.#slotsUsed = data.slotsUsed
    this.#worker = data.worker
    this.#table = table
    this.#tickets = data.tickets === undefined ? undefined : new TicketJudge(data.tickets)
    this.#admission = data.admission === undefined ? undefined : new Admission({ tables: data.admission, thread: data.worker, nowNs: () => process.hrtime.bigint() })
    this.#wheel = wheel
    this.#queue = queue
    this.#waiting = new WaitingEvents(table)
    this.#deferred = new DeferredCalls({ epoll, ring, failed: (token, error) => this.#unwatched(token, error) })
    this.#bytes = new ByteRelay({
      table, cells, clock, pipes, pending, queue,
      events: { readToEnd: (token) => this.#relayed.readToEnd(token), lost: (token, unresponsive) => this.#relayed.lost(token, unresponsive) },
    })
    this.#batch = new BatchRelay({ table, bytes: this.#bytes, pending, ring })
    this.#closer = new SocketCloser({ table, wheel, clock, pending, watch, closeDescriptor: (fd) => this.#deferred.close(fd), released: (slot) => this.#leave(slot) })
    if (laneMaps !== undefined) {
      const lane = new KernelLane({
        table, cells, clock, epoll, pending, relayEvents: connectionEvents, maps: laneMaps,
        events: { left: (slot, why, errors) => this.#leftLane(slot, why, errors), corrupted: (slot, what) => this.#corrupted(slot, what) },
      })
      this.#lane = lane
      this.#candidates = new LaneCandidates({ table, clock, lane, mode: data.kernelLane, relay: (token) => this.#bytes.pump(token) })
    }
    this.#relayed = new RelayedConnections({
      table, wheel, clock, bytes: this.#bytes, batch: this.#batch, closer: this.#closer, peerWatch: new PeerWatch(table, clock), ended,
      lane: this.#lane, candidates: this.#candidates, corrupted: (slot, what) => this.#corrupted(slot, what),
      connectionId: (number) => this.#idOf(number),
    })
    this.#setup = new ConnectionSetup({
      table, wheel, clock, cells, bytes: this.#bytes, pending, batch: this.#batch, closer: this.#closer, relayed: this.#relayed, watch, ended,
      resolve: (dial, hostname) => post({ kind: 'resolve', dial, hostname }),
      routed: (slot) => {
        this.#add(relayCell.openConnectionsBeforeHello, -1)
        this.#admission?.greeted(table.hold[slot] ?? noHold)
      },
      handOver: (slot, connection) => this.#handOver(slot, connection),
    })
  }

  /** Slots that are left. */
  get room(): number {
    return this.#table.capacity - this.#table.size
  }

  get isEmpty(): boolean {
    return this.#table.size === 0
  }

  /** Until something is due, in milliseconds; Infinity where nothing is. */
  get waitMs(): number {
    if (!this.#queue.isEmpty || !this.#waiting.isEmpty) return 0
    return Math.min(this.#wheel.waitMs(this.#parts.clock.nowMs), this.#lane?.waitMs ?? Infinity, this.#candidates?.waitMs ?? Infinity)
  }

  /** @param snapshot undefined, or without the listener: that has left with the last reload, and this connection was in its backlog */
  accept({ fd, from: { name, dropper }, peer, snapshot }: { readonly fd: number; readonly from: AcceptingListener; readonly peer: SocketAddressCell; readonly snapshot: Snapshot | undefined }): void {
    const listener = snapshot?.listeners.get(name)
    if (snapshot === undefined || listener === undefined) {
      libc.setResetOnClose(fd)
      libc.close(fd)
      return
    }
    const admission = this.#admission
    const admitted = admission === undefined ? noHold : admission.accept(listener, listener.proxyProtocolTrustedSources === undefined ? this.#sourceOf(peer) : undefined)
    if (typeof admitted === 'string' && admitted !== 'connection-limit') {
      this.#refuse(fd, { reason: admitted, listener: name }, { peer, snapshot })
      if (admitted === 'source-rate-limit') this.#overRate(listener, dropper, peer)
      return
    }
    if (dropper.isInherited) libc.detachFilter(fd)
    const hold = typeof admitted === 'number' ? admitted : noHold
    const table = this.#table
    const { data } = this.#parts
    const slot = table.take()
    const row = this.#listenerTable.rowOf(name)
    this.#connections += 1
    const number = this.#connections
    const { nowMs, epochMs } = this.#parts.clock
    table.setFd(2 * slot, fd)
    table.setDownstreamAddress(slot, peer)
    table.acceptedMs[slot] = nowMs
    table.number[slot] = number
    table.setListener(slot, name, row)
    table.hold[slot] = hold
    const atConnectionLimit = admitted === 'connection-limit' || this.#slotsUsedByAll() >= data.connectionsMax
    this.#countSlots()
    this.#add(relayCell.openConnections, 1)
    this.#add(relayCell.openConnectionsBeforeHello, 1)
    this.#add(relayCell.openByListener + row, 1)
    const machine = new Connection({
      id: () => this.#idOf(number),
      number,
      listener,
      handsOver: data.handsOver,
      makeTicket: ticketFor,
      admission: admission?.held(hold, listener),
      judgeTicket: this.#tickets?.judge,
      downstream: peer.decode(),
      local: () => this.#localAddress(fd),
      acceptedAtMs: epochMs,
      nowMs,
    }, snapshot)
    this.#setup.begin(slot, machine, { atConnectionLimit })
    if (this.#draining) this.#setup.drain(slot)
  }

  /** Connections in this listening descriptor's queue are better left there for now. @param uncounted as `Admission.holdsBack` has it */
  holdsBack(fd: number, uncounted: number): boolean {
    return this.#admission?.isPaced === true && this.#admission.holdsBack(libc.queuedConnections(fd), uncounted)
  }

  /** For those that are accepted from now on. */
  limit(limits: ProcessLimits): void {
    this.#admission?.publish(limits)
  }

  /** Something happened to a descriptor. */
  ready(token: number, events: number): void {
    const table = this.#table
    const state = table.state[token >> 1]
    // A socket is told of as writable when it has been registered, and who is not being dialled and is owed nothing has no use for it.
    if (state === slotState.setup && events === libc.EPOLLOUT && !table.has(token, tokenBit.connecting) && table.pending[token ^ 1] === 0) return
    if (state === slotState.setup || (state === slotState.relaying && (events & endEvents) !== 0)) this.#waiting.add(token, events)
    else this.#handle(token, events)
  }

  /** One step of a connection that begins or ends. @returns false: nothing has happened to any */
  goOn(): boolean {
    const token = this.#waiting.take()
    if (token === -1) return false
    this.#handle(token, this.#waiting.takeEvents(token))
    return true
  }

  /** What steps, newcomers and deadlines have left to be done, for all of them together. */
  perform(): void {
    // Those that were relayed already, and those whose set-up has ended with an answer.
    this.#batch.pump()
    this.#setup.perform()
    // Those whose set-up has ended with what the client has sent.
    this.#batch.pump()
    this.#deferred.performCloses(connectionEvents)
  }

  /** Once the events of a wait are handed out: what they ask for is done, and what is due. */
  finishTurn(): void {
    this.#batch.pump()
    this.#queue.run(this.#pump)
    this.#lane?.run()
    this.#candidates?.run()
    const { nowMs } = this.#parts.clock
    // What is left is due still, so the next turn comes at once.
    for (let taken = 0; taken < duePerTurnMax; taken++) {
      const slot = this.#wheel.takeDue(nowMs)
      if (slot === -1) return
      this.#due(slot)
    }
  }

  leaveLane(): void {
    this.#lane?.leaveAll('saturated')
  }

  readLaneNotices(): void {
    this.#lane?.readNotices()
  }

  /** Before the next wait. */
  performDeferred(): void {
    // Of messages.
    this.perform()
    this.#deferred.perform(connectionEvents)
  }

  /** No event of the wait is left: the slots of those that ended may be others' now. */
  recycle(): void {
    this.#table.recycle()
    this.#countSlots()
  }

  drain(): void {
    this.#draining = true
    this.#relayed.drain()
    for (let slot = 0; slot < this.#table.used; slot++) {
      if (this.#table.state[slot] === slotState.setup) this.#setup.drain(slot)
    }
  }

  end(reason: StopReason): void {
    for (let slot = 0; slot < this.#table.used; slot++) this.#endSlot(slot, reason)
  }

  revoke(node: string): void {
    this.#tickets?.revoke(node)
    for (const [slot, its] of this.#table.nodes) if (its === node) this.#endSlot(slot, 'node-revoked')
  }

  scan(request: ScanRequest): Scan {
    const matcher = new ConnectionMatcher(request.query)
    return scanSlots(request, this.#table.used, (slot) => this.#liveAt(slot, matcher))
  }

  /** @returns how many of them there were still */
  close(refs: readonly ConnectionRef[]): number {
    let closed = 0
    for (const { slot, id } of refs) {
      const state = this.#table.state[slot]
      if ((state !== slotState.relaying && state !== slotState.setup) || this.#idOf(this.#table.number[slot] ?? 0) !== id) continue
      if (state === slotState.relaying) this.#relayed.abort(slot, 'closed-by-operator')
      else this.#setup.stop(slot, 'closed-by-operator')
      closed += 1
    }
    return closed
  }

  #liveAt(slot: number, matcher: ConnectionMatcher): LiveConnection | undefined {
    const table = this.#table
    const id = (): string => this.#idOf(table.number[slot] ?? 0)
    if (table.state[slot] === slotState.relaying) {
      const client = (): IpAddress | undefined => {
        const told = table.clients.get(slot)
        return told === undefined ? table.downstreamIp(slot) : parseIpAddress(told.address)
      }
      return matcher.matches({ kind: 'connection', tenant: table.tenants[slot]?.name, endpoint: table.endpoints[slot], id, client }) ? this.#relayed.live(slot) : undefined
    }
    const machine = table.state[slot] === slotState.setup ? this.#setup.machine(slot) : undefined
    if (machine === undefined || !matcher.matches(machine.candidate)) return undefined
    return { ...machine.live(), slot, bytesFromDownstream: table.readBytes[2 * slot] ?? 0, bytesFromUpstream: table.readBytes[2 * slot + 1] ?? 0 }
  }

  resolved({ dial, answer }: ToWorker & { readonly kind: 'resolved' }): void {
    this.#setup.resolved(dial, answer)
  }

  /** A turn of one that used up its last. */
  readonly #pump = (token: number): void => {
    if (this.#lane?.holds(token >> 1) === true) this.#lane.step(token >> 1)
    else if (this.#table.state[token >> 1] === slotState.relaying) this.#bytes.pump(token)
  }

  #leftLane(slot: number, why: KernelLaneLeave, errors: readonly [number, number]): void {
    this.#candidates?.left(slot, why)
    for (const [side, error] of errors.entries()) {
      const token = 2 * slot + side
      if (this.#table.state[slot] !== slotState.relaying) return
      if (error !== 0) {
        this.#bytes.readNothing(token, error)
        continue
      }
      this.#table.set(token, tokenBit.readable)
      this.#queue.add(token)
    }
  }

  /** Its peers must not take what they got for whole. Never seen; and nobody goes into the lane after it. */
  #corrupted(slot: number, what: string): void {
    const error = new Error(`bytes were lost or doubled in the kernel: ${what}`)
    this.#parts.post({ kind: 'failed', error, context: `connection ${this.#idOf(this.#table.number[slot] ?? 0)} is reset, and the kernel lane closed` })
    this.#candidates?.close()
    this.#endSlot(slot, 'worker-failed')
    this.#lane?.leaveAll('saturated')
  }

  #handle(token: number, events: number): void {
    if (this.#lane?.holds(token >> 1) === true) {
      this.#lane.ready(token, events)
      return
    }
    const event = this.#event
    event.readable = (events & libc.EPOLLIN) !== 0
    event.writable = (events & libc.EPOLLOUT) !== 0
    event.ending = (events & endingEvents) !== 0
    switch (this.#table.state[token >> 1]) {
      case slotState.relaying: this.#relayed.ready(token, event); break
      case slotState.setup: this.#setup.ready(token, event); break
      case slotState.closing: this.#closer.ready(token, (events & (libc.EPOLLHUP | libc.EPOLLERR)) !== 0); break
      // An event of the same wait, of a connection that another one has ended.
      default: break
    }
  }

  #due(slot: number): void {
    const { state } = this.#table
    const before = state[slot]
    if (this.#handleWaiting(slot) && (state[slot] !== before || this.#wheel.has(slot))) return
    switch (state[slot]) {
      case slotState.relaying: this.#relayed.due(slot); break
      case slotState.setup: this.#setup.due(slot); break
      case slotState.closing: this.#closer.due(slot); break
      default: break
    }
  }

  /** What has been told of it and waits may be what was waited for: who was in time is not late because this thread was held up. @returns false: nothing waits */
  #handleWaiting(slot: number): boolean {
    const ofClient = this.#waiting.takeEvents(2 * slot)
    const ofEndpoint = this.#waiting.takeEvents(2 * slot + 1)
    if ((ofClient | ofEndpoint) === 0) return false
    if (ofClient !== 0) this.#handle(2 * slot, ofClient)
    if (ofEndpoint !== 0) this.#handle(2 * slot + 1, ofEndpoint)
    this.perform()
    return true
  }

  #watch(token: number): void {
    this.#table.set(token, tokenBit.registered)
    this.#deferred.register(this.#table.fdOf(token), token)
  }

  #localAddress(fd: number): SocketAddress {
    this.#local.expect()
    libc.check(libc.getsockname(fd, this.#local.address, this.#local.lengthAddress), 'getsockname')
    return this.#local.decode()
  }

  #ended(slot: number, record: ConnectionRecord): void {
    this.#add(relayCell.openConnections, -1)
    this.#add(relayCell.openByListener + (this.#table.listenerRow[slot] ?? 0), -1)
    // One that was relayed may be owed bytes for long: until its slot is free it is among its tenant's, or clients that read nothing would fill all slots.
    if (this.#table.state[slot] !== slotState.relaying) this.#leave(slot)
    this.#parts.ended(record)
  }

  #leave(slot: number): void {
    this.#admission?.leave(this.#table.hold[slot] ?? noHold)
    this.#table.hold[slot] = noHold
  }

  #sourceOf(peer: SocketAddressCell): SourceKey {
    peer.copyTo(this.#sourceBytes, 0)
    return this.#source.setBytes(this.#sourceBytes)
  }

  /** RST, and it never was one of the table's. */
  #refuse(fd: number, refusal: RefusedAtAccept & { readonly reason: AcceptRefusal }, { peer, snapshot }: { readonly peer: SocketAddressCell; readonly snapshot: Snapshot }): void {
    libc.setResetOnClose(fd)
    libc.close(fd)
    this.#connections += 1
    this.#parts.refused(refusal, () => refusedRecord({
      ...refusal, id: this.#idOf(this.#connections), downstream: peer.decode(), snapshotVersion: snapshot.version, acceptedAtMs: this.#parts.clock.epochMs,
    }))
  }

  /** A connection of the source that was looked at last was refused for its rate. */
  #overRate(listener: ListenerPolicy, dropper: SourceDropper, peer: SocketAddressCell): void {
    const rule = sourceDropOf(listener)
    const drop = rule === undefined ? undefined : dropper.refused(this.#source, rule)
    if (drop?.isFirst === true) this.#parts.sourceDropped({ listener: listener.name, address: peer.decode().address, refusals: drop.refusals, periodMs: drop.periodMs })
  }

  /** Out of the table before it is told of: should the worker die now, nobody else may close it. */
  #handOver(slot: number, connection: HandedOver): void {
    const fd = this.#table.fdOf(2 * slot)
    this.#deferred.unregister(fd)
    this.#table.setFd(2 * slot, -1)
    // Not the worker's memory; and a copy that is sent takes with it all the memory that it is a part of.
    this.#parts.post({ kind: 'handed-over', fd, connection: { ...connection, head: new Uint8Array(connection.head) } })
  }

  /** For the limit over all workers. */
  #countSlots(): void {
    this.#slotsUsed[this.#worker] = this.#table.size
  }

  #slotsUsedByAll(): number {
    let used = 0
    for (let worker = 0; worker < this.#slotsUsed.length; worker++) used += this.#slotsUsed[worker] ?? 0
    return used
  }

  #idOf(number: number): string {
    return `${this.#parts.data.idPrefix}${number.toString(36)}`
  }

  #add(cell: number, difference: number): void {
    const { cells } = this.#parts
    cells[cell] = (cells[cell] ?? 0) + difference
  }

  #endSlot(slot: number, reason: StopReason): void {
    switch (this.#table.state[slot]) {
      case slotState.relaying: this.#relayed.stop(slot, reason); break
      case slotState.setup: this.#setup.stop(slot, reason); break
      default: break
    }
    if (this.#table.state[slot] === slotState.closing) this.#closer.abortSlot(slot)
  }

  /** epoll takes no more (fs.epoll.max_user_watches, memory): without its events a connection can't go on. */
  #unwatched(token: number, error: Error): void {
    this.#parts.post({ kind: 'failed', error, context: 'a connection can not be watched, and ends' })
    this.#endSlot(token >> 1, 'system-limit')
  }
}
