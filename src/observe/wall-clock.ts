// The Unix epoch's time from a monotonic one, which its caller has asked the system for anyway. A clock that is set is noticed
// within a second.

const driftMsMax = 1_000

export class WallClock {
  #offsetMs = 0
  #setAgainMs = -Infinity

  /** @param nowMs of `performance.now` */
  epochMs(nowMs: number): number {
    if (nowMs >= this.#setAgainMs) {
      this.#offsetMs = Date.now() - nowMs
      this.#setAgainMs = nowMs + driftMsMax
    }
    return nowMs + this.#offsetMs
  }
}
