// So many in any second, over all threads: the generic cell rate algorithm (ITU-T I.371), whose whole state is one number,
// the time at which the next one would come if all came evenly. Threads change it by compare and exchange.
//
// A bucket that holds a second's worth lets twice the rate through in its first second. Here a tenth of the rate may come at
// once and nine tenths come evenly, so that no second, wherever it begins, sees more than the rate.

const nanosecondsPerSecond = 1_000_000_000

export interface SharedPaceOptions {
  /** In any second; ≥1. */
  readonly ratePerSecond: number
  /** One cell, in memory that the threads share. @default one of its own */
  readonly cell?: BigInt64Array
}

export class SharedPace {
  readonly #cell: BigInt64Array
  readonly #intervalNs: bigint
  readonly #toleranceNs: bigint

  constructor({ ratePerSecond, cell = new BigInt64Array(1) }: SharedPaceOptions) {
    const burst = Math.max(1, Math.floor(ratePerSecond / 10))
    this.#cell = cell
    this.#intervalNs = BigInt(Math.ceil(nanosecondsPerSecond / Math.max(1, ratePerSecond - burst)))
    this.#toleranceNs = this.#intervalNs * BigInt(burst - 1)
  }

  /**
   * Takes one, if it may come now.
   * @param nowNs of a clock that all threads share
   */
  take(nowNs: bigint): boolean {
    for (;;) {
      const due = Atomics.load(this.#cell, 0)
      const from = due > nowNs ? due : nowNs
      if (from - nowNs > this.#toleranceNs) return false
      if (Atomics.compareExchange(this.#cell, 0, due, from + this.#intervalNs) === due) return true
    }
  }
}
