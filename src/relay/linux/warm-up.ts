// Before a worker serves anybody it serves itself: a rehearsal of whole connections over loopback, through the same classes,
// so that V8 has compiled what each connection runs through and the heap has grown before the first client comes. Cold, a
// connection costs up to twice the processor time, for the first several thousand of them.
//
//   client ─▶ listener │ a RelayWorker of its own: epoll, table, cells, snapshot │ ─▶ backend that echoes
//
// All in this thread, in turns, on ports that the system picks and nobody is told. Nothing of it is
// counted or logged, and it leaves nothing open.
//
// What is compiled holds for what has been seen, and all of it is thrown away when the first client brings something else. So
// there are two workers, side by side: a function of which V8 has met one alone when it looks, or one alone that still lives, it takes for the only one,
// and their callbacks are made anew for each worker. And objects are made as they are for others: one that was cloned is of another kind than one that was written down here, and so is one with the same
// fields in another order, or one more. So the workers' data have the fields of the data of the worker that rehearses, and
// endpoints and rows come from those who make them for the gateway.

import { setFlagsFromString } from 'node:v8'
import { MessageChannel } from 'node:worker_threads'
import { createActiveCells } from '../../core/balance/active-counts.ts'
import { endpointAt } from '../../core/balance/endpoint.ts'
import { EndpointRows } from '../../core/balance/endpoint-rows.ts'
import { createAdmissionTables } from '../../core/limit/admission-tables.ts'
import { LimitRows } from '../../core/limit/limit-rows.ts'
import { ListenerTable } from '../../core/listener-table.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import { createRelayCells } from '../../core/relay-cells.ts'
import type { SnapshotChange, TenantSpec } from '../../core/snapshot.ts'
import { createTicketSecrets } from '../tickets.ts'
import { createDescriptors } from './descriptors.ts'
import * as libc from './libc.ts'
import { closeAll, openListeningSockets } from './listening-sockets.ts'
import { RehearsalBackend, RehearsalClients } from './rehearsal-peers.ts'
import { RelayWorker, type WorkerObserver } from './relay-worker.ts'
import type { FromWorker, RelayWorkerData, ToWorker, WorkerRequest } from './worker-protocol.ts'

const workersTogether = 2
/** Clients of each at one time: enough that calls are gathered in batches, as on a busy worker. */
const clientsTogether = 16
const listenerName = 'warm-up'
/** V8 knows numbers up to 2³¹ from larger ones, and the hashes of these names are of either kind; and a name that is new is seen often enough. */
const serverNames = Array.from({ length: 64 }, (_, index) => `tenant-${index}.warm-up.invalid`)
/** Those that are closing have slots too. */
const slots = 8 * clientsTogether
const timeoutMs = 60_000
/**
 * Calls of a function before Maglev and TurboFan compile it. By V8's own measure something is left to compile until some 10,000
 * connections have been relayed, and a rehearsal has time for one or two thousand.
 */
const callsToCompile = { maglev: 100, turbofan: 300 }
/** V8's own (flag-definitions.h). */
const callsToCompileOtherwise = { maglev: 400, turbofan: 3_000 }
const loopback: SocketAddress = { address: '127.0.0.1', port: 0 }
/** Both lead here; what comes of dials to the first is known at once, of those to the second events tell, as of most in earnest. */
const addresses = [loopback.address, '0.0.0.0']

export interface WarmUpOptions {
  /** When it ends, whatever is under way: milliseconds from now. */
  readonly limitMs: number
  /** The data of the worker that rehearses: nothing of them is touched. */
  readonly like: RelayWorkerData
  /** Its listeners' rows are those of the table that it is given; what it is told is thrown away. */
  readonly createObserver: (listenerTable: SharedArrayBuffer) => WorkerObserver
}

/**
 * Returns when the time is up.
 * @throws {SystemError} where this machine does not let us connect to ourselves
 */
export function warmUp({ limitMs, ...rehearsal }: WarmUpOptions): void {
  const endMs = performance.now() + limitMs
  const kept = libc.mappedAddresses()
  const closing: (() => void)[] = []
  compileAfter(callsToCompile)
  try {
    const stages = Array.from({ length: workersTogether }, () => createStage(rehearsal, endMs, (close) => closing.push(close)))
    while (performance.now() < endMs) for (const step of stages) step()
  } finally {
    compileAfter(callsToCompileOtherwise)
    for (const close of closing.toReversed()) close()
    libc.freeAllBut(kept)
  }
}

/** Of the whole process: others compile a little earlier meanwhile. */
function compileAfter({ maglev, turbofan }: typeof callsToCompile): void {
  setFlagsFromString(`--invocation-count-for-maglev=${maglev}`)
  setFlagsFromString(`--invocation-count-for-turbofan=${turbofan}`)
}

type Rehearsal = Omit<WarmUpOptions, 'limitMs'>

/**
 * One worker with its clients and its backend.
 * @returns all of them go on
 */
function createStage(rehearsal: Rehearsal, endMs: number, atEnd: (close: () => void) => void): () => void {
  const listen = (): { readonly fd: number; readonly bound: SocketAddress } => {
    const { fds, bound } = openListeningSockets(loopback, { ipv6Only: false }, 1)
    atEnd(() => closeAll(fds))
    return { fd: fds[0] ?? -1, bound }
  }
  const [front, back] = [listen(), listen()]
  const { worker, request, withRows } = createWorker(rehearsal, atEnd)
  const change: SnapshotChange = { version: 1, listeners: [{ name: listenerName, helloTimeoutMs: timeoutMs }], limits: {}, tenants: [tenantAt(back.bound)], removedTenants: 'all-others' }
  request({ kind: 'publish', changes: [withRows(change)] })
  worker.turn(0)
  request({ kind: 'listen', listener: listenerName, fd: front.fd })
  worker.turn(0)
  const backend = new RehearsalBackend(back.fd)
  atEnd(() => backend.close())
  const clients = new RehearsalClients({ target: front.bound, serverNames, count: clientsTogether })
  atEnd(() => clients.close())
  const work = (): void => {
    do worker.turn(0); while (worker.hasMore && performance.now() < endMs)
  }
  return () => {
    clients.step()
    work()
    backend.step()
    work()
  }
}

interface Rehearsing {
  readonly worker: RelayWorker
  readonly request: (request: WorkerRequest) => void
  /** As the gateway gives them out. */
  readonly withRows: (change: SnapshotChange) => SnapshotChange
}

function createWorker({ like, createObserver }: Rehearsal, atEnd: (close: () => void) => void): Rehearsing {
  const listenerTable = new ListenerTable()
  listenerTable.add(listenerName)
  const { port1, port2 } = new MessageChannel()
  const wakeFd = libc.check(libc.eventfd(0, libc.EFD_NONBLOCK | libc.EFD_CLOEXEC), 'eventfd')
  const one = libc.allocate(8)
  one.bytes[0] = 1
  const active = createActiveCells(1)
  const admission = createAdmissionTables({ connectionsMax: slots, listenerRows: 1, tenantRows: 1, holds: [slots], seeds: [1, 2] })
  const data = clonedLike(like, {
    worker: 0, slots, pipes: 1, connectionsMax: slots, admission, handsOver: false, tickets: createTicketSecrets(),
    kernelLane: 'off', kernelLanePlaces: 0, busyPollUs: 0, idPrefix: `${listenerName}-`, warmUpMs: 0, wakeFd, port: port2, descriptors: createDescriptors(slots),
    cells: [createRelayCells()], active, slotsUsed: new Int32Array(new SharedArrayBuffer(4)), listenerTable: listenerTable.buffer, observer: undefined,
  })
  const post = (message: FromWorker): void => {
    if (message.kind === 'failed') throw message.error
    if (message.kind === 'answer' && message.error !== undefined) throw new Error(message.error)
  }
  atEnd(() => {
    port1.close()
    libc.close(wakeFd)
  })
  const worker = new RelayWorker(data, post, createObserver(listenerTable.buffer))
  atEnd(() => worker.close('gateway-stopped'))
  let number = 0
  const request = (wanted: WorkerRequest): void => {
    port1.postMessage({ kind: 'request', number: ++number, request: wanted } satisfies ToWorker)
    libc.write(wakeFd, one.address, 8)
  }
  const [rows, limitRows] = [new EndpointRows(active), new LimitRows(admission)]
  return { worker, request, withRows: (change) => rows.give(limitRows.assign(change)).change }
}

/**
 * Fields that `like` has, in its order.
 * @param values for each that it may have: one that the driver gives and that has none here does not compile
 */
function clonedLike(like: RelayWorkerData, values: Required<RelayWorkerData>): RelayWorkerData {
  const fields: Partial<Record<keyof RelayWorkerData, unknown>> = {}
  for (const field of Object.keys(like) as (keyof RelayWorkerData)[]) fields[field] = values[field]
  return structuredClone(fields as RelayWorkerData, { transfer: [values.port] })
}

function tenantAt(bound: SocketAddress): TenantSpec {
  return {
    name: listenerName,
    hostnames: serverNames,
    scheduler: 'wlc',
    endpoints: addresses.map((address) => endpointAt({ ...bound, address }, 1)),
    connectTimeoutMs: timeoutMs,
    answerTimeoutMs: timeoutMs,
    idleTimeoutMs: timeoutMs,
    halfClosedTimeoutMs: timeoutMs,
    drainTimeoutMs: timeoutMs,
    attemptsMax: 1,
    retryBudget: { percent: 1, reserve: 1, floorPerSecond: 1 },
  }
}
