// What admission counts, in memory that all threads share, and who has taken what of it.
//
//   process │ listener rows │ tenant rows │ sources (source-table.ts)      counts are taken by compare and exchange: no cap is
//   holds, by thread: what each of its connections counts in               passed for a moment, however threads meet
//
// Rows are whose limit-rows.ts says. A thread that dies leaves its holds, and `releaseThread` gives back what they say.

import { createRetryCells, retryFigures, type RetryCells, type RetryFigures } from './retry-budget.ts'
import { createSourceCells, sourceFigures, type SourceCells, type SourceFigures } from './source-table.ts'

/** Plain data: cloning it, as for `workerData`, shares its memory. */
export interface AdmissionTables {
  /** That the process has descriptors for. */
  readonly connectionsMax: number
  /** Cells of `processCell`. */
  readonly process: Int32Array<SharedArrayBuffer>
  /** Open ones, by row. */
  readonly listeners: Int32Array<SharedArrayBuffer>
  readonly tenants: Int32Array<SharedArrayBuffer>
  /** When each row's next one is due; the process's is one cell. */
  readonly processDue: BigInt64Array<SharedArrayBuffer>
  readonly listenersDue: BigInt64Array<SharedArrayBuffer>
  readonly tenantsDue: BigInt64Array<SharedArrayBuffer>
  readonly retries: RetryCells
  readonly sources: SourceCells
  /** By thread, `holdFields` for each of its holds. */
  readonly holds: readonly Int32Array<SharedArrayBuffer>[]
}

export const processCell = {
  open: 0,
  beforeHello: 1,
  /** In all tenants, streams of the tunnel too. */
  ofTenants: 2,
  /** Tenants that have any. */
  tenants: 3,
  /** As configured, or as there are descriptors for; 0: nothing is published yet. */
  connectionsMax: 4,
} as const

/** Of a hold; rows plus one, 0: none. */
export const holdField = { isOpen: 0, isBeforeHello: 1, listener: 2, source: 3, tenant: 4, tenantSource: 5 } as const
export const holdFields = 6

export interface AdmissionTablesOptions {
  readonly connectionsMax: number
  readonly listenerRows: number
  readonly tenantRows: number
  /** By thread: connections that it may have at one time. */
  readonly holds: readonly number[]
  /** As `SourceCellsOptions`. */
  readonly seeds: readonly [number, number]
}

/** For each connection that may be open: it counts at its listener and at its tenant, and eight to a bucket need room. */
const sourceRowsPerConnection = 4
const sourceRowsMin = 4_096

export function createAdmissionTables({ connectionsMax, listenerRows, tenantRows, holds, seeds }: AdmissionTablesOptions): AdmissionTables {
  const int32 = (length: number): Int32Array<SharedArrayBuffer> => new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT))
  const int64 = (length: number): BigInt64Array<SharedArrayBuffer> => new BigInt64Array(new SharedArrayBuffer(length * BigInt64Array.BYTES_PER_ELEMENT))
  return {
    connectionsMax,
    process: int32(Object.keys(processCell).length),
    listeners: int32(listenerRows),
    tenants: int32(tenantRows),
    processDue: int64(1),
    listenersDue: int64(listenerRows),
    tenantsDue: int64(tenantRows),
    retries: createRetryCells(tenantRows),
    sources: createSourceCells({ rows: Math.max(sourceRowsMin, sourceRowsPerConnection * connectionsMax), seeds }),
    holds: holds.map((count) => int32(count * holdFields)),
  }
}

export interface AdmissionFigures extends SourceFigures, RetryFigures {
  /** Over which new ones are refused. */
  readonly connectionsMax: number
  readonly openConnections: number
  readonly openConnectionsBeforeHello: number
  /** Connections and streams of tenants. */
  readonly openOfTenants: number
  readonly tenantsWithConnections: number
}

export function admissionFigures({ connectionsMax, process, retries, sources }: AdmissionTables): AdmissionFigures {
  const [openConnections = 0, openConnectionsBeforeHello = 0, openOfTenants = 0, tenantsWithConnections = 0, publishedMax = 0] = process
  return { ...sourceFigures(sources), ...retryFigures(retries), connectionsMax: publishedMax === 0 ? connectionsMax : publishedMax, openConnections, openConnectionsBeforeHello, openOfTenants, tenantsWithConnections }
}

/**
 * Takes one, if there are fewer.
 * @returns how many there were before; -1: it was not taken
 */
export function takeBelow(cells: Int32Array, index: number, max: number): number {
  for (;;) {
    const count = Atomics.load(cells, index)
    if (count >= max) return -1
    if (Atomics.compareExchange(cells, index, count, count + 1) === count) return count
  }
}
