// Whether an agent's direct lane is worth a try: what fails is left alone for a while, ever longer, and then tried again.

const firstPauseMs = 30_000
const pauseMsMax = 600_000

export class LaneHealth {
  #failures = 0
  #pausedUntilMs = -Infinity

  isUsable(nowMs: number): boolean {
    return nowMs >= this.#pausedUntilMs
  }

  /** Of several that fail together the first counts. @returns until when it is left alone */
  failed(nowMs: number): number {
    if (!this.isUsable(nowMs)) return this.#pausedUntilMs
    this.#pausedUntilMs = nowMs + Math.min(pauseMsMax, firstPauseMs * 2 ** Math.min(this.#failures, 30))
    this.#failures += 1
    return this.#pausedUntilMs
  }

  /** A gateway has answered. */
  worked(): void {
    this.#failures = 0
  }
}
