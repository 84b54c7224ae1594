// A worker thread's loop: it waits in epoll_wait, hands each event to whoever it concerns, and then sees to deadlines, to
// those that used up their turn, and to messages. The thread's JavaScript event loop never turns.
//
//   epoll_wait ─┬─ listener ──▶ Acceptor ──▶ ConnectionSetup ── relay ──▶ RelayedConnections ⇄ ByteRelay
//               ├─ connection ─▶ by its slot's state: setup · relaying · closing (SocketCloser)
//               └─ eventfd ────▶ messages of the main thread

import { receiveMessageOnPort } from 'node:worker_threads'
import type { StopReason } from '../../core/connection-events.ts'
import type { ConnectionRecord } from '../../core/connection-record.ts'
import { Connection } from '../../core/connection.ts'
import { ListenerTable } from '../../core/listener-table.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import { snapshotChangeSteps } from '../../core/snapshot-change.ts'
import type { Snapshot } from '../../core/snapshot.ts'
import { TimerWheel } from '../../core/timer-wheel.ts'
import type { HandedOver } from '../driver.ts'
import { Acceptor } from './acceptor.ts'
import { BatchRing } from './batch-ring.ts'
import { batchMax, BatchRelay } from './batch-relay.ts'
import { ByteRelay } from './byte-relay.ts'
import { ConnectionSetup } from './connection-setup.ts'
import { ConnectionTable, slotState, tokenBit } from './connection-table.ts'
import { DeferredCalls } from './deferred-calls.ts'
import { closeDescriptors, descriptorsIn, type WorkerDescriptors } from './descriptors.ts'
import * as libc from './libc.ts'
import { PeerWatch } from './peer-watch.ts'
import { PendingBytes, type Clock } from './pending-bytes.ts'
import { PipePool } from './pipe-pool.ts'
import { RelayedConnections } from './relayed-connections.ts'
import { SocketAddressCell } from './socket-address.ts'
import { SocketCloser } from './socket-closer.ts'
import { TurnQueue } from './turn-queue.ts'
import type { FromWorker, RelayWorkerData, ToWorker, WorkerRequest } from './worker-protocol.ts'

/** What watches a worker's connections, in the worker's own thread. */
export interface WorkerObserver {
  /** Exactly once for each accepted connection. Must return quickly and never throw. */
  connectionEnded(record: ConnectionRecord): void
  /**
   * Before each wait: what has been gathered may be due to be handed on.
   * @returns the longest that the thread may wait, in milliseconds; Infinity where nothing has been gathered
   */
  flushIfDue(nowMs: number): number
  /** Before the thread ends. */
  flush(): void
}

const eventsPerWait = 512
const wakeToken = -1
const connectionEvents = libc.EPOLLIN | libc.EPOLLOUT | libc.EPOLLPRI | libc.EPOLLRDHUP | libc.EPOLLET
/** After these a short read does not mean that the socket is empty; recv stops at urgent data (EPOLLPRI) too. */
const endingEvents = libc.EPOLLRDHUP | libc.EPOLLHUP | libc.EPOLLERR | libc.EPOLLPRI

export class RelayWorker {
  readonly #data: RelayWorkerData
  readonly #post: (message: FromWorker) => void
  readonly #observer: WorkerObserver
  readonly #cells: RelayCells
  readonly #clock: Clock = { nowMs: performance.now() }
  readonly #epoll = new libc.Epoll(eventsPerWait)
  readonly #descriptors: WorkerDescriptors
  readonly #pipes: PipePool
  readonly #deferred: DeferredCalls
  readonly #table: ConnectionTable
  readonly #wheel: TimerWheel
  readonly #queue: TurnQueue
  readonly #batch: BatchRelay
  /** A turn of one that used up its last. */
  readonly #pump: (token: number) => void
  readonly #closer: SocketCloser
  readonly #relayed: RelayedConnections
  readonly #setup: ConnectionSetup
  readonly #acceptor: Acceptor
  readonly #listenerTable: ListenerTable
  readonly #local = new SocketAddressCell()
  readonly #wakeCount = libc.allocate(8)
  readonly #event = { readable: false, writable: false, ending: false }
  #snapshot: Snapshot | undefined
  /** A change that is being taken in, a step a turn. */
  #publishing: { readonly number: number; readonly steps: Generator<void, Snapshot, void> } | undefined
  #connections = 0
  #flushWaitMs = Infinity
  #drainNumbers: number[] = []
  #draining = false
  #stopped = false

  constructor(data: RelayWorkerData, post: (message: FromWorker) => void, observer: WorkerObserver) {
    this.#data = data
    this.#post = post
    this.#observer = observer
    const cells = data.cells[data.worker]
    if (cells === undefined) throw new Error('bug: a worker has no cells')
    this.#cells = cells
    this.#listenerTable = new ListenerTable(data.listenerTable)
    this.#descriptors = descriptorsIn(data.descriptors, data.slots)
    this.#descriptors.epoll[0] = this.#epoll.fd + 1
    this.#pipes = new PipePool(this.#descriptors.pipes, data.pipes)
    const table = new ConnectionTable(this.#descriptors.connections)
    const clock = this.#clock
    const wheel = new TimerWheel({ capacity: data.slots, nowMs: clock.nowMs })
    const watch = (token: number): void => this.#watch(token)
    const ended = (slot: number, record: ConnectionRecord): void => this.#ended(slot, record)
    const opened = BatchRing.open(batchMax)
    const ring = typeof opened === 'string' ? undefined : opened
    this.#deferred = new DeferredCalls({ epoll: this.#epoll, ring, failed: (token, error) => this.#unwatched(token, error) })
    this.#descriptors.ring[0] = ring === undefined ? 0 : ring.fd + 1
    const queue = new TurnQueue(table)
    const pending = new PendingBytes({ table, cells, clock, pipes: this.#pipes, queue })
    const bytes: ByteRelay = new ByteRelay({
      table, cells, clock, pipes: this.#pipes, pending, queue,
      events: { readToEnd: (token) => this.#relayed.readToEnd(token), lost: (token, unresponsive) => this.#relayed.lost(token, unresponsive) },
    })
    const batch = new BatchRelay({ table, bytes, pending, ring })
    this.#table = table
    this.#wheel = wheel
    this.#queue = queue
    this.#batch = batch
    this.#pump = (token) => {
      if (table.state[token >> 1] === slotState.relaying) bytes.pump(token)
    }
    this.#closer = new SocketCloser({ table, wheel, clock, pending, watch, closeDescriptor: (fd) => this.#deferred.close(fd) })
    const connectionId = (number: number): string => `${data.idPrefix}${number.toString(36)}`
    this.#relayed = new RelayedConnections({ table, wheel, clock, bytes, batch, closer: this.#closer, peerWatch: new PeerWatch(table, clock), connectionId, ended })
    this.#setup = new ConnectionSetup({
      table, wheel, clock, cells, bytes, pending, closer: this.#closer, relayed: this.#relayed, watch, ended,
      resolve: (dial, hostname) => post({ kind: 'resolve', dial, hostname }),
      routed: () => this.#add(relayCell.openConnectionsBeforeHello, -1),
      handOver: (slot, connection) => this.#handOver(slot, connection),
    })
    this.#acceptor = new Acceptor({
      epoll: this.#epoll, clock, cells, firstToken: 2 * data.slots,
      hasRoom: () => table.size < table.capacity,
      accepted: (fd, listener, peer) => this.#accepted(fd, listener, peer),
      failed: (error, context) => post({ kind: 'failed', error, context }),
    })
    libc.check(this.#epoll.add(data.wakeFd, libc.EPOLLIN, wakeToken), 'epoll_ctl on the eventfd')
  }

  /** Returns when it has been told to stop. A bug throws: what it has done to its connections is unknown, and all of them end. */
  run(): void {
    try {
      while (!this.#stopped) this.#turn()
    } finally {
      if (!this.#stopped) this.#end('worker-failed')
      try {
        this.#deferred.perform(connectionEvents)
      } finally {
        closeDescriptors(this.#descriptors)
        libc.freeAll()
      }
    }
  }

  #turn(): void {
    const clock = this.#clock
    const count = this.#epoll.wait(this.#waitMs())
    clock.nowMs = performance.now()
    let woken = false
    for (let index = 0; index < count; index++) {
      const token = this.#epoll.tokenAt(index)
      if (token === wakeToken) woken = true
      else if (token >= 2 * this.#data.slots) this.#acceptor.ready(token)
      else this.#ready(token, this.#epoll.eventsAt(index))
    }
    this.#batch.pump()
    this.#queue.run(this.#pump)
    for (let slot = this.#wheel.takeDue(clock.nowMs); slot !== -1; slot = this.#wheel.takeDue(clock.nowMs)) this.#due(slot)
    this.#acceptor.resumeIfDue()
    this.#publishStep()
    if (woken) this.#readMessages()
    this.#deferred.perform(connectionEvents)
    this.#recycle()
    this.#flushWaitMs = this.#observer.flushIfDue(clock.nowMs)
  }

  /** All events of the wait have been handled: the slots of those that ended may be others' now. */
  #recycle(): void {
    this.#table.recycle()
    this.#countSlots()
    if (this.#drainNumbers.length > 0 && this.#table.size === 0) this.#answerDrains()
  }

  /** Whole milliseconds, rounded up: a wait that ends early would only be repeated. */
  #waitMs(): number {
    if (!this.#queue.isEmpty || this.#publishing !== undefined) return 0
    const { nowMs } = this.#clock
    const waitMs = Math.min(this.#wheel.waitMs(nowMs), this.#acceptor.waitMs(), this.#flushWaitMs)
    return waitMs === Infinity ? -1 : Math.ceil(waitMs)
  }

  #ready(token: number, events: number): void {
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
    switch (this.#table.state[slot]) {
      case slotState.relaying: this.#relayed.due(slot); break
      case slotState.setup: this.#setup.due(slot); break
      case slotState.closing: this.#closer.due(slot); break
      default: break
    }
  }

  #watch(token: number): void {
    this.#table.set(token, tokenBit.registered)
    this.#deferred.register(this.#table.fdOf(token), token)
  }

  #accepted(fd: number, name: string, peer: SocketAddressCell): void {
    const snapshot = this.#snapshot
    const listener = snapshot?.listeners.get(name)
    if (snapshot === undefined || listener === undefined) {
      // The listener left with the last reload, and this connection was in its backlog.
      libc.setResetOnClose(fd)
      libc.close(fd)
      return
    }
    const table = this.#table
    const slot = table.take()
    const row = this.#listenerTable.rowOf(name)
    this.#connections += 1
    const { nowMs } = this.#clock
    table.setFd(2 * slot, fd)
    table.setDownstreamAddress(slot, peer)
    table.acceptedMs[slot] = nowMs
    table.number[slot] = this.#connections
    table.listenerNames[slot] = name
    table.listenerRow[slot] = row
    const atConnectionLimit = this.#slotsUsedByAll() >= this.#data.connectionsMax
    this.#countSlots()
    this.#add(relayCell.openConnections, 1)
    this.#add(relayCell.openConnectionsBeforeHello, 1)
    this.#add(relayCell.openByListener + row, 1)
    const machine = new Connection({
      id: `${this.#data.idPrefix}${this.#connections.toString(36)}`,
      listener,
      snapshot,
      handsOver: this.#data.handsOver,
      downstream: peer.decode(),
      local: () => this.#localAddress(fd),
      acceptedAtMs: Date.now(),
      nowMs,
    })
    this.#setup.begin(slot, machine, { atConnectionLimit })
    if (this.#draining) this.#setup.drain(slot)
  }

  #localAddress(fd: number): SocketAddress {
    this.#local.expect()
    libc.check(libc.getsockname(fd, this.#local.address, this.#local.lengthAddress), 'getsockname')
    return this.#local.decode()
  }

  #ended(slot: number, record: ConnectionRecord): void {
    this.#add(relayCell.openConnections, -1)
    this.#add(relayCell.openByListener + (this.#table.listenerRow[slot] ?? 0), -1)
    this.#observer.connectionEnded(record)
  }

  /** Out of the table before it is told of: should the worker die now, nobody else may close it. */
  #handOver(slot: number, connection: HandedOver): void {
    const fd = this.#table.fdOf(2 * slot)
    this.#deferred.unregister(fd)
    this.#table.setFd(2 * slot, -1)
    this.#post({ kind: 'handed-over', fd, connection })
  }

  /** For the limit over all workers. */
  #countSlots(): void {
    this.#data.slotsUsed[this.#data.worker] = this.#table.size
  }

  #slotsUsedByAll(): number {
    let used = 0
    for (const each of this.#data.slotsUsed) used += each
    return used
  }

  #add(cell: number, difference: number): void {
    this.#cells[cell] = (this.#cells[cell] ?? 0) + difference
  }

  #readMessages(): void {
    libc.read(this.#data.wakeFd, this.#wakeCount.address, 8)
    for (let received = receiveMessageOnPort(this.#data.port); received !== undefined; received = receiveMessageOnPort(this.#data.port)) {
      const message: ToWorker = received.message
      if (message.kind === 'resolved') this.#setup.resolved(message.dial, message.answer)
      else this.#request(message.number, message.request)
    }
  }

  #request(number: number, request: WorkerRequest): void {
    try {
      switch (request.kind) {
        case 'publish':
          this.#beginPublishing(number, request)
          return
        case 'listen': this.#acceptor.add(request.listener, request.fd); break
        case 'unlisten': this.#acceptor.remove(request.listener); break
        case 'drain':
          this.#drain(number)
          return
        case 'stop':
          this.#end('gateway-stopped')
          this.#stopped = true
          break
        case 'crash': throw new Error('told to crash')
        default: request satisfies never
      }
      this.#post({ kind: 'answer', number })
    } catch (error) {
      if (request.kind === 'crash') throw error
      this.#post({ kind: 'answer', number, error: error instanceof Error ? error.message : String(error) })
    }
  }

  #beginPublishing(number: number, { changes }: WorkerRequest & { readonly kind: 'publish' }): void {
    if (this.#publishing !== undefined) throw new Error('bug: one change after the other')
    // Each begins with what the one before has made.
    const steps = function* (this: RelayWorker): Generator<void, Snapshot, void> {
      let snapshot = this.#snapshot
      for (const change of changes) snapshot = yield* snapshotChangeSteps(snapshot, change, { schedulerOffset: this.#data.worker })
      if (snapshot === undefined) throw new Error('bug: nothing to publish')
      return snapshot
    }
    this.#publishing = { number, steps: steps.call(this) }
    this.#publishStep()
  }

  #publishStep(): void {
    const publishing = this.#publishing
    if (publishing === undefined) return
    const step = publishing.steps.next()
    if (step.done !== true) return
    this.#snapshot = step.value
    this.#publishing = undefined
    this.#post({ kind: 'answer', number: publishing.number })
  }

  #drain(number: number): void {
    this.#draining = true
    this.#drainNumbers.push(number)
    this.#relayed.drain()
    for (let slot = 0; slot < this.#table.used; slot++) {
      if (this.#table.state[slot] === slotState.setup) this.#setup.drain(slot)
    }
  }

  #answerDrains(): void {
    const numbers = this.#drainNumbers
    this.#drainNumbers = []
    for (const number of numbers) this.#post({ kind: 'answer', number })
  }

  #end(reason: StopReason): void {
    for (let slot = 0; slot < this.#table.used; slot++) this.#endSlot(slot, reason)
    this.#observer.flush()
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
    this.#post({ kind: 'failed', error, context: 'a connection can not be watched, and ends' })
    this.#endSlot(token >> 1, 'system-limit')
  }
}
