// The Unix epoch's time from a monotonic one, which its caller has asked the system for anyway. A clock that is set is noticed
// within a second.

const driftMsMax = 1_000

export class WallClock {
  readonly #epochNow: () => number
  #offsetMs = 0
  #setAgainMs = -Infinity

  /** @param epochNow `Date.now` */
  constructor(epochNow: () => number) {
    this.#epochNow = epochNow
  }

  /** @param nowMs now, on a monotonic clock */
  epochMs(nowMs: number): number {
    if (nowMs >= this.#setAgainMs) {
      this.#offsetMs = this.#epochNow() - nowMs
      this.#setAgainMs = nowMs + driftMsMax
    }
    return nowMs + this.#offsetMs
  }
}
