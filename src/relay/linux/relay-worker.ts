// A worker thread's loop: it waits in epoll_wait, hands each event to whoever it concerns, and then sees to deadlines, to
// those that used up their turn, to a slice of set-ups, and to messages. The thread's JavaScript event loop never turns.
//
//   epoll_wait ─┬─ listener ───▶ Acceptor ───────────┬─ slice ─▶ WorkerConnections
//               ├─ connection ─┬ in set-up: queue ───┘
//               │              └ relayed ─▶ WorkerConnections, first
//               └─ eventfd ────▶ messages of the main thread

import { performance } from 'node:perf_hooks'
import { receiveMessageOnPort } from 'node:worker_threads'
import { noActiveCounts, SharedActiveCounts } from '../../core/balance/active-counts.ts'
import { allReady, SharedEndpointStates } from '../../core/balance/endpoint-states.ts'
import type { StopReason } from '../../core/connection-events.ts'
import type { ConnectionRecord, RefusedAtAccept } from '../../core/connection-record.ts'
import type { SourceDropped } from '../../core/relay-observer.ts'
import { sourceDropOf } from '../../core/limit/source-drops.ts'
import { runSetupSlice, type SetupWork } from '../../core/limit/setup-slice.ts'
import { WallClock } from '../../core/wall-clock.ts'
import { Acceptor } from './acceptor.ts'
import { batchMax } from './batch-relay.ts'
import { BatchRing } from './batch-ring.ts'
import { BusyPoll } from './busy-poll.ts'
import { closeDescriptors, descriptorsIn, type WorkerDescriptors } from './descriptors.ts'
import { LaneUnavailableError } from './kernel-lane/bpf.ts'
import { LaneMaps, lanePlacesFor } from './kernel-lane/lane-maps.ts'
import { selfTest } from './kernel-lane/self-test.ts'
import * as libc from './libc.ts'
import type { EpochClock } from './pending-bytes.ts'
import { SnapshotPublisher } from './snapshot-publisher.ts'
import { WorkerConnections } from './worker-connections.ts'
import type { FromWorker, RelayWorkerData, ToWorker, WorkerRequest } from './worker-protocol.ts'

/** What watches a worker's connections, in the worker's own thread. */
export interface WorkerObserver {
  /** Exactly once for each accepted connection. Must return quickly and never throw. */
  connectionEnded(record: ConnectionRecord): void
  /** As in `RelayObserver`. */
  connectionRefused?(refusal: RefusedAtAccept, record: () => ConnectionRecord): void
  /** As in `RelayObserver`. */
  sourceDropped?(dropped: SourceDropped): void
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
const laneToken = -2

export class RelayWorker {
  readonly #data: RelayWorkerData
  readonly #post: (message: FromWorker) => void
  readonly #observer: WorkerObserver
  readonly #wallClock = new WallClock(Date.now)
  readonly #clock: EpochClock = { nowMs: performance.now(), epochMs: Date.now() }
  readonly #epoll = new libc.Epoll(eventsPerWait)
  /** What waits for events. */
  readonly #waiter: Pick<libc.Epoll, 'wait'>
  readonly #descriptors: WorkerDescriptors
  readonly #publisher: SnapshotPublisher
  readonly #connections: WorkerConnections
  readonly #acceptor: Acceptor
  readonly #setupWork: SetupWork
  readonly #wakeCount = libc.allocate(8)
  #flushWaitMs = Infinity
  /** Requests to drain, to be answered when no connection is left. */
  #drains: number[] = []
  #stopped = false

  constructor(data: RelayWorkerData, post: (message: FromWorker) => void, observer: WorkerObserver) {
    this.#data = data
    this.#post = post
    this.#observer = observer
    const cells = data.cells[data.worker]
    if (cells === undefined) throw new Error('bug: a worker has no cells')
    this.#waiter = data.busyPollUs === 0 ? this.#epoll : new BusyPoll(this.#epoll, cells, data.busyPollUs / 1_000)
    this.#descriptors = descriptorsIn(data.descriptors, data.slots)
    this.#descriptors.epoll[0] = this.#epoll.fd + 1
    const active = data.active === undefined ? noActiveCounts : new SharedActiveCounts(data.active, data.worker)
    const states = data.active === undefined ? allReady : new SharedEndpointStates(data.active)
    // Workers begin their rounds at different endpoints.
    this.#publisher = new SnapshotPublisher({ active, states, schedulerOffset: data.worker }, (number, { limits, listeners }) => {
      this.#connections.limit(limits)
      this.#acceptor.follow((name) => {
        const listener = listeners.get(name)
        return listener === undefined ? undefined : sourceDropOf(listener)
      })
      post({ kind: 'answer', number })
    })
    const [epoll, clock] = [this.#epoll, this.#clock]
    this.#connections = new WorkerConnections({
      data, cells, clock, epoll, post,
      descriptors: this.#descriptors,
      ring: this.#openRing(),
      laneMaps: this.#openLane(),
      ended: (record) => observer.connectionEnded(record),
      refused: (refusal, record) => {
        if (observer.connectionRefused === undefined) observer.connectionEnded(record())
        else observer.connectionRefused(refusal, record)
      },
      sourceDropped: (dropped) => observer.sourceDropped?.(dropped),
    })
    this.#acceptor = new Acceptor({
      epoll, clock, cells,
      held: this.#descriptors.accepted,
      firstToken: 2 * data.slots,
      room: () => this.#connections.room,
      accepted: (fd, from, peer) => this.#connections.accept({ fd, from, peer, snapshot: this.#publisher.snapshot }),
      perform: () => this.#connections.perform(),
      holdsBack: (fd, taken) => this.#connections.holdsBack(fd, taken),
      failed: (error, context) => post({ kind: 'failed', error, context }),
    })
    this.#setupWork = {
      nowMs: () => performance.now(),
      goOn: () => this.#connections.goOn(),
      accept: () => this.#acceptor.acceptNext(),
      perform: () => this.#acceptor.settle(),
    }
    libc.check(epoll.add(data.wakeFd, libc.EPOLLIN, wakeToken), 'epoll_ctl on the eventfd')
  }

  /** Returns when it has been told to stop. A bug throws: what it has done to its connections is unknown, and all of them end. */
  run(): void {
    try {
      while (!this.#stopped) this.turn(Infinity)
    } finally {
      this.close('worker-failed')
    }
  }

  /** Ends what is left, for this reason. No call works afterwards. */
  close(reason: StopReason): void {
    if (!this.#stopped) this.#end(reason)
    try {
      this.#connections.performDeferred()
    } finally {
      closeDescriptors(this.#descriptors)
    }
  }

  /** The next turn has something to do, whatever events come. */
  get hasMore(): boolean {
    return this.#waitMs(Infinity) === 0
  }

  /** Waits for events, no longer than this, and does all that they ask for. */
  turn(waitMsMax: number): void {
    const count = this.#waiter.wait(this.#waitMs(waitMsMax))
    const nowMs = performance.now()
    this.#clock.nowMs = nowMs
    this.#clock.epochMs = this.#wallClock.epochMs(nowMs)
    let woken = false
    for (let index = 0; index < count; index++) {
      const token = this.#epoll.tokenAt(index)
      if (token === wakeToken) woken = true
      else if (token === laneToken) this.#connections.readLaneNotices()
      else if (token >= 2 * this.#data.slots) this.#acceptor.ready(token)
      else this.#connections.ready(token, this.#epoll.eventsAt(index))
    }
    this.#connections.finishTurn()
    runSetupSlice(this.#setupWork)
    this.#acceptor.finishTurn()
    this.#publisher.step()
    if (woken) this.#readMessages()
    this.#connections.performDeferred()
    this.#connections.recycle()
    if (this.#drains.length > 0 && this.#connections.isEmpty) this.#answerDrains()
    this.#flushWaitMs = this.#observer.flushIfDue(nowMs)
  }

  #openRing(): BatchRing | undefined {
    const ring = BatchRing.open(batchMax)
    if (typeof ring === 'string') {
      this.#post({ kind: 'without-ring', why: ring })
      return undefined
    }
    this.#descriptors.ring[0] = ring.fd + 1
    return ring
  }

  #openLane(): LaneMaps | undefined {
    if (this.#data.kernelLane === 'off') return undefined
    let maps: LaneMaps | undefined
    try {
      maps = new LaneMaps(lanePlacesFor(this.#data.kernelLanePlaces ?? this.#data.slots))
      selfTest(maps)
      for (const [index, fd] of maps.fds.entries()) this.#descriptors.lane[index] = fd + 1
      libc.check(this.#epoll.add(maps.noticesFd, libc.EPOLLIN, laneToken), 'epoll_ctl on the kernel lane')
      return maps
    } catch (error) {
      maps?.close()
      if (!(error instanceof LaneUnavailableError || error instanceof libc.SystemError)) throw error
      this.#post({ kind: 'without-lane', why: error.message })
      return undefined
    }
  }

  /** Whole milliseconds, rounded up: a wait that ends early would only be repeated. */
  #waitMs(waitMsMax: number): number {
    if (this.#publisher.isBusy) return 0
    const waitMs = Math.min(waitMsMax, this.#connections.waitMs, this.#acceptor.waitMs(), this.#flushWaitMs)
    return waitMs === Infinity ? -1 : Math.ceil(waitMs)
  }

  #readMessages(): void {
    libc.read(this.#data.wakeFd, this.#wakeCount.address, 8)
    for (let received = receiveMessageOnPort(this.#data.port); received !== undefined; received = receiveMessageOnPort(this.#data.port)) {
      const message: ToWorker = received.message
      if (message.kind === 'resolved') this.#connections.resolved(message)
      else this.#request(message.number, message.request)
    }
  }

  #request(number: number, request: WorkerRequest): void {
    try {
      switch (request.kind) {
        case 'publish':
          this.#publisher.begin(number, request.changes)
          return
        case 'listen': this.#acceptor.add(request.listener, request.fd); break
        case 'unlisten': this.#acceptor.remove(request.listener); break
        case 'drain':
          this.#connections.drain()
          this.#drains.push(number)
          return
        case 'stop':
          this.#end('gateway-stopped')
          this.#stopped = true
          break
        case 'revoke': this.#connections.revoke(request.node); break
        case 'scan':
          this.#post({ kind: 'answer', number, value: this.#connections.scan(request.request) })
          return
        case 'close':
          this.#post({ kind: 'answer', number, value: this.#connections.close(request.refs) })
          return
        case 'leave-lane': this.#connections.leaveLane(); break
        case 'crash': throw new Error('told to crash')
        default: request satisfies never
      }
      this.#post({ kind: 'answer', number })
    } catch (error) {
      if (request.kind === 'crash') throw error
      this.#post({ kind: 'answer', number, error: error instanceof Error ? error.message : String(error) })
    }
  }

  #answerDrains(): void {
    const numbers = this.#drains
    this.#drains = []
    for (const number of numbers) this.#post({ kind: 'answer', number })
  }

  #end(reason: StopReason): void {
    this.#connections.end(reason)
    this.#observer.flush()
  }
}
