// What is counted at each connection's end, as cells in shared memory: a thread that never answers, since it waits in the
// system for its sockets, is read by the main thread all the same, and an end costs it some additions.
//
//   by listener row: one for each outcome | by reason | histograms: buckets, over all of them, sum
//   access-log lines suppressed, by reason | failures' lines suppressed, sources' | log lines dropped | batches taken
//
// Each thread has cells of its own, so each has one writer and needs no atomics; `batchesTaken` is the main thread's. What a
// scrape reads while a thread writes is at most one connection apart. connection-totals.ts reads them.

import type { ConnectionRecord, RefusedAtAccept } from '../core/connection-record.ts'
import { listenerRowsMax, type ListenerTable } from '../core/listener-table.ts'
import { terminations, type TerminationOutcome, type TerminationReason } from '../core/termination.ts'

/** Cloning it, as for `workerData`, shares its memory. */
export type ConnectionCells = Float64Array<SharedArrayBuffer>

export const outcomes = ['completed', 'aborted', 'refused', 'failed'] as const satisfies readonly TerminationOutcome[]
export const reasons = Object.keys(terminations) as readonly TerminationReason[]

const handshakeBucketsSeconds = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
const durationBucketsSeconds = [0.01, 0.1, 1, 10, 60, 300, 600, 1_800, 3_600, 14_400, 86_400]

let cellCount = 0
function take(cells: number): number {
  const first = cellCount
  cellCount += cells
  return first
}

export interface HistogramLayout {
  /** Inclusive, as in Prometheus. */
  readonly upperBounds: readonly number[]
  /** One for each bound, and one for what is over the last. Not cumulative. */
  readonly firstBucket: number
  readonly sum: number
}

function histogram(upperBounds: readonly number[]): HistogramLayout {
  return { upperBounds, firstBucket: take(upperBounds.length + 1), sum: take(1) }
}

/** The first cell of each part. */
export const connectionCell = {
  ended: take(listenerRowsMax * outcomes.length),
  byReason: take(reasons.length),
  helloSeconds: histogram(handshakeBucketsSeconds),
  connectSeconds: histogram(handshakeBucketsSeconds),
  durationSeconds: histogram(durationBucketsSeconds),
  linesSuppressed: take(reasons.length),
  failuresSuppressed: take(1),
  dropsSuppressed: take(1),
  linesDropped: take(1),
  batchesTaken: take(1),
} as const

export function createConnectionCells(): ConnectionCells {
  return new Float64Array(new SharedArrayBuffer(cellCount * Float64Array.BYTES_PER_ELEMENT))
}

export function add(cells: ConnectionCells, cell: number, value: number): void {
  cells[cell] = (cells[cell] ?? 0) + value
}

/** How each reason counts. */
const counted = Object.fromEntries(Object.entries(terminations).map(([reason, { outcome }], index) => [reason, {
  index,
  outcome: outcomes.indexOf(outcome),
  answered: outcome === 'completed' || outcome === 'aborted',
}])) as Readonly<Record<TerminationReason, { readonly index: number; readonly outcome: number; readonly answered: boolean }>>

export function countConnection(cells: ConnectionCells, listeners: ListenerTable, { listener, reason, helloMs, connectMs, totalMs }: ConnectionRecord): void {
  const { index, outcome, answered } = counted[reason]
  add(cells, connectionCell.ended + listeners.rowOf(listener) * outcomes.length + outcome, 1)
  add(cells, connectionCell.byReason + index, 1)
  if (answered) observe(cells, connectionCell.durationSeconds, totalMs / 1_000)
  if (helloMs !== undefined) observe(cells, connectionCell.helloSeconds, helloMs / 1_000)
  if (connectMs !== undefined) observe(cells, connectionCell.connectSeconds, connectMs / 1_000)
}

/** Of one that was refused as it was accepted. */
export function countRefused(cells: ConnectionCells, listeners: ListenerTable, { listener, reason }: RefusedAtAccept): void {
  const { index, outcome } = counted[reason]
  add(cells, connectionCell.ended + listeners.rowOf(listener) * outcomes.length + outcome, 1)
  add(cells, connectionCell.byReason + index, 1)
}

/** An access-log line that was over its reason's budget. */
export function countSuppressedLine(cells: ConnectionCells, reason: TerminationReason): void {
  add(cells, connectionCell.linesSuppressed + counted[reason].index, 1)
}

function observe(cells: ConnectionCells, { upperBounds, firstBucket, sum }: HistogramLayout, value: number): void {
  let bucket = 0
  while (bucket < upperBounds.length && value > (upperBounds[bucket] ?? 0)) bucket += 1
  add(cells, firstBucket + bucket, 1)
  add(cells, sum, value)
}
