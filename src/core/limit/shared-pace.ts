// So many a second, over all threads: the generic cell rate algorithm (ITU-T I.371), whose whole state is one number,
// the time at which the next one would come if all came evenly. Threads change it by compare and exchange.
//
// A bucket that holds a second's worth lets twice the rate through in its first second. In a `SharedPace` a tenth of the rate may
// come at once and nine tenths come evenly, so that no second, wherever it begins, sees more than the rate.

const nanosecondsPerSecond = 1_000_000_000

/** A rate as it is written: plain data. */
export interface RateSpec {
  /** On average; >0. */
  readonly perSecond: number
  /** At once, after a rest; ≥1. */
  readonly burst: number
}

/** A rate as it is counted. */
export interface Pace {
  readonly intervalNs: bigint
  /** That one may come before its time. */
  readonly toleranceNs: bigint
}

export function paceOf({ perSecond, burst }: RateSpec): Pace {
  const intervalNs = BigInt(Math.ceil(nanosecondsPerSecond / perSecond))
  return { intervalNs, toleranceNs: intervalNs * BigInt(burst - 1) }
}

export interface PacedCell {
  /** In memory that the threads share; zero at first. */
  readonly cells: BigInt64Array
  readonly index: number
}

/** Before its time, the next one would come; 0: it is due. */
export function aheadNs({ cells, index }: PacedCell, nowNs: bigint): bigint {
  const due = Atomics.load(cells, index)
  return due > nowNs ? due - nowNs : 0n
}

/**
 * Takes one, if it may come now.
 * @param nowNs of a clock that all threads share
 * @param reserveNs of the tolerance, that others keep
 */
export function takePaced({ cells, index }: PacedCell, { intervalNs, toleranceNs }: Pace, nowNs: bigint, reserveNs = 0n): boolean {
  for (;;) {
    const due = Atomics.load(cells, index)
    const from = due > nowNs ? due : nowNs
    if (from - nowNs > toleranceNs - reserveNs) return false
    if (Atomics.compareExchange(cells, index, due, from + intervalNs) === due) return true
  }
}

export interface SharedPaceOptions {
  /** In any second; ≥1. */
  readonly ratePerSecond: number
  /** One cell, in memory that the threads share. @default one of its own */
  readonly cell?: BigInt64Array
}

export class SharedPace {
  readonly #cell: PacedCell
  readonly #pace: Pace

  constructor({ ratePerSecond, cell = new BigInt64Array(1) }: SharedPaceOptions) {
    const burst = Math.max(1, Math.floor(ratePerSecond / 10))
    this.#cell = { cells: cell, index: 0 }
    this.#pace = paceOf({ perSecond: Math.max(1, ratePerSecond - burst), burst })
  }

  /**
   * Takes one, if it may come now.
   * @param nowNs of a clock that all threads share
   */
  take(nowNs: bigint): boolean {
    return takePaced(this.#cell, this.#pace, nowNs)
  }
}
