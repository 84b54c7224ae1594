// A token bucket: so many at once, and so many a second on average.

export interface TokenBucketOptions {
  readonly ratePerSecond: number
  /** What may be taken at once after a rest; ≥1. */
  readonly burst: number
  readonly nowMs: number
}

export class TokenBucket {
  readonly #ratePerMs: number
  readonly #burst: number
  #tokens: number
  #filledMs: number

  constructor({ ratePerSecond, burst, nowMs }: TokenBucketOptions) {
    this.#ratePerMs = ratePerSecond / 1_000
    this.#burst = burst
    this.#tokens = burst
    this.#filledMs = nowMs
  }

  /** Takes one token, if there is one. A clock that went back fills nothing. */
  take(nowMs: number): boolean {
    if (nowMs > this.#filledMs) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledMs) * this.#ratePerMs)
      this.#filledMs = nowMs
    }
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
