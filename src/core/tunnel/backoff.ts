// When to try again: full jitter (AWS, "Exponential Backoff And Jitter"), so that thousands who have lost one gateway together
// don't come back together. The first retry comes within a second.

export interface BackoffOptions {
  /** Of the first wait, at most. @default 1 s */
  readonly firstMs?: number
  /** Of any wait. @default 30 s */
  readonly waitMsMax?: number
  /** 0 to 1. */
  readonly random: () => number
}

export class Backoff {
  readonly #firstMs: number
  readonly #waitMsMax: number
  readonly #random: () => number
  #failures = 0

  constructor({ firstMs = 1_000, waitMsMax = 30_000, random }: BackoffOptions) {
    this.#firstMs = firstMs
    this.#waitMsMax = waitMsMax
    this.#random = random
  }

  /** Failures since the last success. */
  get failures(): number {
    return this.#failures
  }

  /** It works: the next wait is a first one. */
  succeeded(): void {
    this.#failures = 0
  }

  /**
   * @param atLeastMs what the other side asked for (Retry-After); the jitter comes on top
   * @returns how long to wait now
   */
  failed(atLeastMs = 0): number {
    const most = Math.min(this.#waitMsMax, this.#firstMs * 2 ** Math.min(this.#failures, 30))
    this.#failures += 1
    return atLeastMs + this.#random() * most
  }
}
