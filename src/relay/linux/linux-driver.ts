// The driver for Linux, as the gateway sees it: worker threads that each relay by system calls of their own (relay-worker.ts).
// What is here only tells them what to do, gives them their listening sockets, and replaces one that dies.
//
//   gateway ── publish, listen, drain ──▶ LinuxDriver ── request, eventfd ──▶ worker 0, 1, …  ── shared memory ──▶ counters

import { lookup } from 'node:dns'
import { setTimeout as delay } from 'node:timers/promises'
import { clearActiveOf, type ActiveCells } from '../../core/balance/active-counts.ts'
import { isOwnFault } from '../../core/dial-failure.ts'
import type { AdmissionTables } from '../../core/limit/admission-tables.ts'
import { releaseThread } from '../../core/limit/holds.ts'
import type { KernelLaneMode } from '../../core/kernel-lane-policy.ts'
import type { ListenerTable } from '../../core/listener-table.ts'
import type { LiveThread } from '../../core/live/live-connection.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import { clearOpenConnections, createRelayCells, sumRelayCounters, type RelayCells } from '../../core/relay-cells.ts'
import type { RelayCounters } from '../../core/relay-observer.ts'
import { SnapshotMemory } from '../../core/snapshot-memory.ts'
import type { SnapshotChange } from '../../core/snapshot.ts'
import { reservedDescriptors } from '../descriptor-limit.ts'
import type { HandedOver, ListenOptions, RelayDriver } from '../driver.ts'
import { RevokedNodes, type TicketSecrets } from '../tickets.ts'
import { sharedLookup } from '../node/shared-lookup.ts'
import { growDescriptorTable } from './descriptor-table.ts'
import { pipesMax, pipesOfAllMax } from './descriptors.ts'
import { LaneUnavailableError } from './kernel-lane/bpf.ts'
import { LaneMaps, lanePlacesFor } from './kernel-lane/lane-maps.ts'
import { closeAll, openListeningSockets, type ListeningSockets } from './listening-sockets.ts'
import { WorkerDiedError, WorkerHandle } from './worker-handle.ts'
import type { FromWorker, WorkerAnswer, WorkerRequest } from './worker-protocol.ts'

/**
 * A worker that dies again and again is replaced ever later: after 1, 2, 4 … times this, but not over `restartDelayMsMax`,
 * since meanwhile its share of new connections waits in its backlog.
 */
const restartDelayMs = 50
const restartDelayMsMax = 1_000
/** A worker that has lived so long counts as sound. */
const soundAfterMs = 60_000

export interface LinuxDriverOptions {
  /** Threads, ≥1. */
  readonly workers: number
  /** Open connections of the process over which new ones are refused. */
  readonly connectionsMax: number
  /** Where a worker is a thread of its number; absent: there are no limits but that. */
  readonly admission?: AdmissionTables
  /** Of connections' ids; unique for this process and, in practice, for the fleet. */
  readonly idPrefix: string
  /** A module that calls `startRelayWorker`. */
  readonly workerEntry: URL
  /** What that module's observer is made of: cloned to each worker. */
  readonly workerObserver: (worker: number) => unknown
  readonly listenerTable: ListenerTable
  /** Workers are its first threads; absent: nobody counts connections by endpoint. */
  readonly active?: ActiveCells
  /** How long workers rehearse before the first connection (warm-up.ts); those that replace one do not: connections wait for them. */
  readonly warmUpMs: number
  /** Whether the kernel moves bytes by itself (kernel-lane/). */
  readonly kernelLane: KernelLaneMode
  /** Connections in a worker's lane at one time, 32 at least. @default as many as it has room for, 16,384 at most */
  readonly kernelLanePlaces?: number
  /** How long workers poll before they sleep (busy-poll.ts); 0: not at all. */
  readonly busyPollUs: number
  /**
   * Takes connections to tunnel hostnames, in the main thread and until `stop` has resolved: `fd` is the taker's, who closes
   * it. Any thread can read it, with `socketOf` in handed-over-socket.ts. Absent: such connections are refused.
   */
  readonly handOver?: (connection: HandedOver, fd: number) => void
  /** Of the tunnel's direct lane; absent: nobody comes with a ticket. */
  readonly tickets?: TicketSecrets
  /** What a worker's observer has posted. */
  readonly observed: (message: unknown, worker: number) => void
  /** A worker has no io_uring, and why: it makes one system call for each read and write. */
  readonly withoutRing: (why: string) => void
  /** A worker has no kernel lane, or no longer, and why: every byte goes through the worker. */
  readonly withoutLane: (why: string) => void
  /** A failure that belongs to no connection. */
  readonly failed: (error: Error, context: string) => void
}

/** @returns why this process can have no kernel lane; undefined: it can */
export function kernelLaneFault(): string | undefined {
  try {
    new LaneMaps(lanePlacesFor(1)).close()
    return undefined
  } catch (error) {
    if (error instanceof LaneUnavailableError) return error.message
    throw error
  }
}

interface WorkerSeat {
  readonly worker: number
  handle: WorkerHandle
  startedMs: number
  /** Deaths in a row. */
  deaths: number
  /** While a worker has died: its successor does as it was told. */
  replacing: Promise<void> | undefined
}

export class LinuxDriver implements RelayDriver {
  readonly kind = 'linux'
  /** By worker. */
  readonly live: readonly LiveThread[]
  readonly #options: LinuxDriverOptions
  readonly #cells: readonly RelayCells[]
  readonly #slotsUsed: Int32Array<SharedArrayBuffer>
  readonly #seats: readonly WorkerSeat[]
  readonly #listening = new Map<string, ListeningSockets>()
  readonly #lookup = sharedLookup(lookup)
  readonly #memory = new SnapshotMemory()
  readonly #revoked = new RevokedNodes()
  #restarts = 0
  #stopping = false
  readonly #stopAtExit = (): void => {
    for (const { handle } of this.#seats) handle.stopAtExit()
  }

  constructor(options: LinuxDriverOptions) {
    this.#options = options
    growDescriptorTable(2 * options.connectionsMax + reservedDescriptors)
    this.#cells = Array.from({ length: options.workers }, createRelayCells)
    this.#slotsUsed = new Int32Array(new SharedArrayBuffer(options.workers * Int32Array.BYTES_PER_ELEMENT))
    this.#seats = Array.from({ length: options.workers }, (_, worker) => ({
      worker, handle: this.#start(worker), startedMs: performance.now(), deaths: 0, replacing: undefined,
    }))
    this.live = this.#seats.map((seat) => ({
      scan: async (request) => await this.#unlessDead(seat, { kind: 'scan', request }) ?? { connections: [] },
      close: async (refs) => await this.#unlessDead(seat, { kind: 'close', refs }) ?? 0,
    }))
    process.on('exit', this.#stopAtExit)
  }

  async publish(change: SnapshotChange): Promise<void> {
    this.#memory.remember(change)
    await this.#all(() => ({ kind: 'publish', changes: [change] }))
  }

  async listen(name: string, address: SocketAddress, options: ListenOptions): Promise<SocketAddress> {
    if (this.#listening.has(name)) throw new Error(`bug: listener ${name} is bound already`)
    const sockets = openListeningSockets(address, options, this.#options.workers)
    this.#options.listenerTable.add(name)
    this.#listening.set(name, sockets)
    await this.#all((worker) => ({ kind: 'listen', listener: name, fd: sockets.fds[worker] ?? -1 }))
    return sockets.bound
  }

  async unlisten(name: string): Promise<void> {
    const sockets = this.#listening.get(name)
    if (sockets === undefined) return
    this.#listening.delete(name)
    await this.#all(() => ({ kind: 'unlisten', listener: name }))
    closeAll(sockets.fds)
  }

  async drain(): Promise<void> {
    await Promise.all(this.#seats.map(async (seat) => await this.#drain(seat)))
  }

  async revoke(node: string): Promise<void> {
    this.#revoked.add(node)
    await this.#all(() => ({ kind: 'revoke', node }))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    process.off('exit', this.#stopAtExit)
    await Promise.all(this.#seats.map(async ({ handle }) => await handle.stop()))
    for (const { fds } of this.#listening.values()) closeAll(fds)
    this.#listening.clear()
  }

  counters(): RelayCounters {
    return {
      ...sumRelayCounters(this.#cells, this.#options.listenerTable.names(), this.#options.connectionsMax),
      workers: this.#seats.filter(({ replacing }) => replacing === undefined).length,
      workerRestarts: this.#restarts,
    }
  }

  async crashWorker(turn: number): Promise<void> {
    const seat = this.#seats[turn % this.#seats.length]
    await seat?.handle.request({ kind: 'crash' }).catch(() => undefined)
    await seat?.replacing
  }

  /** Everybody leaves the kernel lane, and may go in again: for tests of that. */
  async leaveKernelLane(): Promise<void> {
    await this.#all(() => ({ kind: 'leave-lane' }))
  }

  /** A worker that dies meanwhile has lost its connections, but its successor accepts others while there is a listener. */
  async #drain(seat: WorkerSeat): Promise<void> {
    for (;;) {
      await seat.replacing
      try {
        await seat.handle.request({ kind: 'drain' })
        return
      } catch (error) {
        if (!(error instanceof WorkerDiedError)) throw error
        if (this.#stopping || this.#listening.size === 0) return
      }
    }
  }

  /** @returns undefined: it has died, and its connections with it */
  async #unlessDead<Request extends WorkerRequest>({ handle }: WorkerSeat, request: Request): Promise<WorkerAnswer<Request['kind']> | undefined> {
    try {
      return await handle.request(request)
    } catch (error) {
      if (!(error instanceof WorkerDiedError)) throw error
      return undefined
    }
  }

  /** Tells every worker; one that dies over it has a successor that is told by `#replace`. */
  async #all(request: (worker: number) => WorkerRequest): Promise<void> {
    await Promise.all(this.#seats.map(async (seat) => {
      await seat.replacing
      try {
        await seat.handle.request(request(seat.worker))
      } catch (error) {
        if (!(error instanceof WorkerDiedError)) throw error
        await seat.replacing
      }
    }))
  }

  #start(worker: number): WorkerHandle {
    const { workerEntry, connectionsMax, idPrefix, workerObserver, listenerTable, workers, warmUpMs, kernelLane, kernelLanePlaces, busyPollUs, handOver, tickets, active, admission } = this.#options
    return new WorkerHandle({
      entry: workerEntry,
      data: {
        worker,
        slots: connectionsMax + reservedDescriptors,
        pipes: Math.max(1, Math.min(pipesMax, Math.floor(pipesOfAllMax / workers))),
        connectionsMax,
        handsOver: handOver !== undefined,
        kernelLane,
        busyPollUs,
        ...(kernelLanePlaces === undefined ? {} : { kernelLanePlaces }),
        ...(tickets === undefined ? {} : { tickets }),
        ...(active === undefined ? {} : { active }),
        ...(admission === undefined ? {} : { admission }),
        warmUpMs: this.#restarts === 0 ? warmUpMs : 0,
        // A successor counts from 1 again.
        idPrefix: workers === 1 && this.#restarts === 0 ? `${idPrefix}-` : `${idPrefix}-${worker}.${this.#restarts}-`,
        cells: this.#cells,
        slotsUsed: this.#slotsUsed,
        listenerTable: listenerTable.buffer,
        observer: workerObserver(worker),
      },
      received: (message) => this.#received(worker, message),
      died: (error) => this.#died(worker, error),
    })
  }

  #received(worker: number, message: Exclude<FromWorker, { kind: 'answer' }>): void {
    switch (message.kind) {
      case 'observed': this.#options.observed(message.message, worker); break
      case 'without-ring': this.#options.withoutRing(message.why); break
      case 'without-lane': this.#options.withoutLane(message.why); break
      case 'failed': this.#options.failed(message.error, message.context); break
      // Also while the driver stops: who takes it closes it.
      case 'handed-over': this.#options.handOver?.(message.connection, message.fd); break
      case 'resolve': this.#resolve(worker, message); break
      default: message satisfies never
    }
  }

  #resolve(worker: number, { dial, hostname }: FromWorker & { readonly kind: 'resolve' }): void {
    // The one that asks: a successor has other connections in the same slots.
    const handle = this.#seats[worker]?.handle
    this.#lookup(hostname, { all: false }, (error, address) => {
      const answer = error === null && typeof address === 'string' ? { address } : { failure: error?.message ?? `${hostname} has no address`, isOurs: isOwnFault(error?.code) }
      handle?.tell({ kind: 'resolved', dial, answer })
    })
  }

  #died(worker: number, error: Error): void {
    const seat = this.#seats[worker]
    const cells = this.#cells[worker]
    if (seat === undefined || cells === undefined || this.#stopping) return
    clearOpenConnections(cells)
    if (this.#options.active !== undefined) clearActiveOf(this.#options.active, worker)
    this.#slotsUsed[worker] = 0
    if (this.#options.admission !== undefined) releaseThread(this.#options.admission, worker)
    this.#restarts += 1
    seat.deaths = performance.now() - seat.startedMs > soundAfterMs ? 0 : seat.deaths + 1
    const delayMs = seat.deaths <= 1 ? 0 : Math.min(restartDelayMsMax, restartDelayMs * 2 ** (seat.deaths - 2))
    this.#options.failed(error, `relay worker ${worker} died, its connections are reset; another takes its place${delayMs === 0 ? '' : ` in ${delayMs} ms`}`)
    const replacing = this.#replace(seat, delayMs)
    seat.replacing = replacing
    // It may die in its turn before it is told everything: then `#died` has begun anew.
    void replacing.finally(() => {
      if (seat.replacing === replacing) seat.replacing = undefined
    })
  }

  async #replace(seat: WorkerSeat, delayMs: number): Promise<void> {
    if (delayMs > 0) await delay(delayMs, undefined, { ref: false })
    if (this.#stopping) return
    seat.startedMs = performance.now()
    seat.handle = this.#start(seat.worker)
    try {
      await seat.handle.request({ kind: 'publish', changes: [this.#memory.whole()] })
      for (const node of this.#revoked.all) await seat.handle.request({ kind: 'revoke', node })
      for (const [listener, { fds }] of this.#listening) await seat.handle.request({ kind: 'listen', listener, fd: fds[seat.worker] ?? -1 })
    } catch (error) {
      if (!(error instanceof WorkerDiedError)) throw error
    }
  }
}
