// The Unix epoch's time from a monotonic one, which its caller has asked the system for anyway. A clock that is set is noticed
// within a second.

const driftMsMax = 1_000

export class WallClock {
  readonly #epochNow: () => number
  #offsetMs = -Infinity
  #setAgainMs = -Infinity

  /** @param epochNow `Date.now` */
  constructor(epochNow: () => number) {
    this.#epochNow = epochNow
  }

  /** @param nowMs now, on a monotonic clock */
  epochMs(nowMs: number): number {
    if (nowMs >= this.#setAgainMs) {
      const offsetMs = this.#epochNow() - nowMs
      // The epoch's time comes without its fraction: of two that differ by no more the later one is nearer.
      if (offsetMs > this.#offsetMs || offsetMs <= this.#offsetMs - 1) this.#offsetMs = offsetMs
      this.#setAgainMs = nowMs + driftMsMax
    }
    return nowMs + this.#offsetMs
  }
}
