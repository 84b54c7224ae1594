// What each source has open, and how fast it comes: a hash table of a fixed size in memory that all threads share.
//
//   hash of (scope, source) ─▶ bucket: lock │ row × 8 │   row: scope, high, low, open, before hello │ due
//
// A scope is a listener, or a tenant: each counts its own sources. A row is found or taken under its bucket's lock, and counts go down
// without it. A row with nothing open is idle and may become another's, the longest at rest first. Where all eight of a bucket have
// something open the newcomer is not counted, and that is: with a row for every connection that can be open, and a hash that nobody
// outside can foresee, it takes bad luck. A row's rate is forgotten with it, which is counted where it still held its source back.

import { takePaced, type Pace } from './shared-pace.ts'
import type { SourceKey } from '../net/source-key.ts'

const rowsPerBucket = 8
const fields = { scope: 0, high: 1, low: 2, open: 3, beforeHello: 4 } as const
const fieldsPerRow = 5
/** Looks at a lock before the thread sleeps. */
const spinsMax = 100
/** A sleep: whoever has the lock is not running. */
const lockWaitMs = 0.1

/** Plain data: cloning it, as for `workerData`, shares its memory. */
export interface SourceCells {
  readonly rows: Int32Array<SharedArrayBuffer>
  readonly due: BigInt64Array<SharedArrayBuffer>
  readonly locks: Int32Array<SharedArrayBuffer>
  /** Of the table: untracked, forgotten. */
  readonly totals: Int32Array<SharedArrayBuffer>
  readonly seeds: readonly [number, number]
}

export interface SourceCellsOptions {
  /** At the least: a power of two is made of it. */
  readonly rows: number
  /** Whole numbers that nobody outside can foresee. */
  readonly seeds: readonly [number, number]
}

export function createSourceCells({ rows, seeds }: SourceCellsOptions): SourceCells {
  const count = 2 ** Math.ceil(Math.log2(Math.max(rows, rowsPerBucket)))
  const int32 = (length: number): Int32Array<SharedArrayBuffer> => new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT))
  return {
    rows: int32(count * fieldsPerRow),
    due: new BigInt64Array(new SharedArrayBuffer(count * BigInt64Array.BYTES_PER_ELEMENT)),
    locks: int32(count / rowsPerBucket),
    totals: int32(2),
    seeds,
  }
}

export interface SourceFigures {
  /** Connections whose source found no row: their source's limits did not hold for them. */
  readonly untracked: number
  /** Rows that were given to another source while their rate still held the first one back. */
  readonly forgotten: number
}

export function sourceFigures({ totals }: SourceCells): SourceFigures {
  return { untracked: Atomics.load(totals, 0) >>> 0, forgotten: Atomics.load(totals, 1) >>> 0 }
}

/** A thread that had locks has died. */
export function unlockAll({ locks }: SourceCells, thread: number): void {
  for (let bucket = 0; bucket < locks.length; bucket++) Atomics.compareExchange(locks, bucket, thread + 1, 0)
}

/** One of the row's is not before its hello any more. */
export function sourceGreeted({ rows }: SourceCells, row: number): void {
  Atomics.sub(rows, row * fieldsPerRow + fields.beforeHello, 1)
}

/** The row has one less, which is not before its hello. */
export function sourceLeft({ rows }: SourceCells, row: number): void {
  Atomics.sub(rows, row * fieldsPerRow + fields.open, 1)
}

export interface SourceLimits {
  /** Open at one time. */
  readonly openMax: number
  /** Of these, before their hello. */
  readonly beforeHelloMax: number
  readonly pace?: Pace | undefined
}

/** In place of a row. */
export const sourceOutcome = { untracked: -1, atOpenMax: -2, atBeforeHelloMax: -3, tooFast: -4 } as const

export class SourceTable {
  readonly #cells: SourceCells
  readonly #thread: number
  readonly #nowNs: () => bigint
  readonly #bucketMask: number

  /** @param thread whose locks they are, ≥0 */
  constructor(cells: SourceCells, { thread, nowNs }: { readonly thread: number; readonly nowNs: () => bigint }) {
    this.#cells = cells
    this.#thread = thread
    this.#nowNs = nowNs
    this.#bucketMask = cells.locks.length - 1
  }

  /**
   * One more of this source, which is before its hello where that has a limit.
   * @param scope whole, ≥0, less than 2²⁹
   * @returns its row, for `sourceGreeted` and `sourceLeft`; or a `sourceOutcome`
   */
  enter(scope: number, key: SourceKey, limits: SourceLimits): number {
    const owner = 1 + 2 * scope + (key.isIpv6 ? 1 : 0)
    const bucket = this.#hash(owner, key) & this.#bucketMask
    this.#lock(bucket)
    try {
      return this.#enter(bucket, owner, key, limits)
    } finally {
      Atomics.store(this.#cells.locks, bucket, 0)
    }
  }

  #enter(bucket: number, owner: number, key: SourceKey, { openMax, beforeHelloMax, pace }: SourceLimits): number {
    const { rows, due } = this.#cells
    let row = this.#find(bucket, owner, key)
    if (row === -1) {
      row = this.#take(bucket)
      if (row === -1) {
        Atomics.add(this.#cells.totals, 0, 1)
        return sourceOutcome.untracked
      }
      const at = row * fieldsPerRow
      rows[at + fields.scope] = owner
      rows[at + fields.high] = key.high
      rows[at + fields.low] = key.low
      due[row] = 0n
    }
    const at = row * fieldsPerRow
    if (Atomics.load(rows, at + fields.open) >= openMax) return sourceOutcome.atOpenMax
    if (Atomics.load(rows, at + fields.beforeHello) >= beforeHelloMax) return sourceOutcome.atBeforeHelloMax
    if (pace !== undefined && !takePaced({ cells: due, index: row }, pace, this.#nowNs())) return sourceOutcome.tooFast
    Atomics.add(rows, at + fields.open, 1)
    if (beforeHelloMax !== Infinity) Atomics.add(rows, at + fields.beforeHello, 1)
    return row
  }

  #find(bucket: number, owner: number, { high, low }: SourceKey): number {
    const { rows } = this.#cells
    const first = bucket * rowsPerBucket
    for (let row = first; row < first + rowsPerBucket; row++) {
      const at = row * fieldsPerRow
      if (rows[at + fields.scope] === owner && rows[at + fields.high] === high && rows[at + fields.low] === low) return row
    }
    return -1
  }

  /** The one that was due first, of those with nothing open. */
  #take(bucket: number): number {
    const { rows, due, totals } = this.#cells
    const first = bucket * rowsPerBucket
    let found = -1
    for (let row = first; row < first + rowsPerBucket; row++) {
      if (Atomics.load(rows, row * fieldsPerRow + fields.open) !== 0) continue
      if (found === -1 || (due[row] ?? 0n) < (due[found] ?? 0n)) found = row
    }
    // A row that no rate has held needs no clock.
    if (found !== -1 && due[found] !== 0n && (due[found] ?? 0n) > this.#nowNs()) Atomics.add(totals, 1, 1)
    return found
  }

  #lock(bucket: number): void {
    const { locks } = this.#cells
    for (let spins = 0; ; spins++) {
      const holder = Atomics.compareExchange(locks, bucket, 0, this.#thread + 1)
      if (holder === 0) return
      if (spins >= spinsMax) Atomics.wait(locks, bucket, holder, lockWaitMs)
    }
  }

  #hash(owner: number, { high, low }: SourceKey): number {
    const [one, other] = this.#cells.seeds
    let hash = Math.imul(owner ^ one, 0x9e3779b1)
    hash = Math.imul(hash ^ (hash >>> 15) ^ high, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13) ^ low, 0xc2b2ae35)
    hash = Math.imul(hash ^ (hash >>> 16) ^ other, 0x27d4eb2f)
    return hash ^ (hash >>> 15)
  }
}
