// How many dials may be further tries. One that works spares its client an error; but where nothing answers, each connection dials
// several endpoints just when they can bear least. So retries are a share of what is dialled anyway, as in Finagle's RetryBudget,
// Envoy's retry_budget and gRPC's A6:
//
//   first dial ─▶ credit: `percent` of a dial, in its tenant's account and in the process's; an account holds `reserve` at most
//   retry      ─▶ takes one whole from both; where an account is empty, its floor may still allow it: so many a second
//
// A tenant whose endpoints fail spends what is its own: it takes little of what others' retries need. All accounts are in memory that
// the threads share. Their cells hold what is spent, so that memory of zeros is an account that is full.

import { paceOf, takePaced, type Pace } from './shared-pace.ts'

/** As it is resolved: plain data. */
export interface RetryBudgetSpec {
  /** Of first dials, that may be followed by a retry; >0. */
  readonly percent: number
  /** Retries that may be saved up. */
  readonly reserve: number
  /** Retries that are allowed with nothing saved up. */
  readonly floorPerSecond: number
}

/** As it is counted. */
export interface RetryBudget {
  readonly percent: number
  readonly reserve: number
  readonly floor: Pace
}

/** Of each tenant; the percentage is configured. */
export const tenantRetries = { reserve: 500, floorPerSecond: 1 } as const
/** Of the process, where each first dial counts as its tenant's percentage says. */
const processRetries = { reserve: 2_000, floor: paceOf({ perSecond: 100, burst: 1 }) } as const

export function retryBudget({ percent, reserve, floorPerSecond }: RetryBudgetSpec): RetryBudget {
  return { percent, reserve, floor: paceOf({ perSecond: floorPerSecond, burst: 1 }) }
}

/** Plain data: cloning it shares its memory. Of tenants, by row. */
export interface RetryCells {
  /** Hundredths of a dial. */
  readonly processSpent: Int32Array<SharedArrayBuffer>
  readonly processDue: BigInt64Array<SharedArrayBuffer>
  readonly tenantsSpent: Int32Array<SharedArrayBuffer>
  readonly tenantsDue: BigInt64Array<SharedArrayBuffer>
  /** Cells of `countCell`. */
  readonly counts: BigInt64Array<SharedArrayBuffer>
}

const countCell = { allowed: 0, refused: 1 } as const

export function createRetryCells(tenantRows: number): RetryCells {
  const int32 = (length: number): Int32Array<SharedArrayBuffer> => new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT))
  const int64 = (length: number): BigInt64Array<SharedArrayBuffer> => new BigInt64Array(new SharedArrayBuffer(length * BigInt64Array.BYTES_PER_ELEMENT))
  return { processSpent: int32(1), processDue: int64(1), tenantsSpent: int32(tenantRows), tenantsDue: int64(tenantRows), counts: int64(Object.keys(countCell).length) }
}

export interface RetryFigures {
  readonly retries: number
  readonly retriesRefused: number
}

export function retryFigures({ counts }: RetryCells): RetryFigures {
  return { retries: Number(Atomics.load(counts, countCell.allowed)), retriesRefused: Number(Atomics.load(counts, countCell.refused)) }
}

/** A connection or a stream is about to be dialled for, for the first time. */
export function dialBegins({ processSpent, tenantsSpent }: RetryCells, row: number, { percent }: RetryBudget): void {
  credit(tenantsSpent, row, percent)
  credit(processSpent, 0, percent)
}

/**
 * … and again, if that may be.
 * @param nowNs of a clock that all threads share
 */
export function mayRetry({ processSpent, processDue, tenantsSpent, tenantsDue, counts }: RetryCells, row: number, budget: RetryBudget, nowNs: bigint): boolean {
  const isOwn = spend(tenantsSpent, row, budget.reserve)
  let allowed = isOwn || takePaced({ cells: tenantsDue, index: row }, budget.floor, nowNs)
  if (allowed && !spend(processSpent, 0, processRetries.reserve) && !takePaced({ cells: processDue, index: 0 }, processRetries.floor, nowNs)) {
    allowed = false
    if (isOwn) credit(tenantsSpent, row, wholeDial)
  }
  Atomics.add(counts, allowed ? countCell.allowed : countCell.refused, 1n)
  return allowed
}

const wholeDial = 100

/** Most accounts are full, and a cell that is only read keeps its line of every core's cache. */
function credit(cells: Int32Array, index: number, hundredths: number): void {
  for (;;) {
    const spent = Atomics.load(cells, index)
    if (spent === 0 || Atomics.compareExchange(cells, index, spent, Math.max(0, spent - hundredths)) === spent) return
  }
}

function spend(cells: Int32Array, index: number, reserve: number): boolean {
  for (;;) {
    const spent = Atomics.load(cells, index)
    if (spent + wholeDial > reserve * wholeDial) return false
    if (Atomics.compareExchange(cells, index, spent, spent + wholeDial) === spent) return true
  }
}
