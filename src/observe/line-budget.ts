// Log lines that a peer can cause at will, bounded: so many of each kind, and a count of those that were not written.
//
// Kinds come from our own unions, so the table is as small as they are. Each kind has a budget of its own: a flood of port
// scans must not hide the one line that tells of a misspelt hostname.

import { TokenBucket } from '../core/limit/token-bucket.ts'

export interface LineBudgetOptions {
  /** For each kind. */
  readonly linesPerSecond: number
  /** Of one kind at once, after a rest; ≥1. */
  readonly linesBurst: number
}

export class LineBudget<Kind extends string> {
  readonly #options: LineBudgetOptions
  readonly #buckets = new Map<Kind, TokenBucket>()
  #suppressed = 0
  #untold = new Map<Kind, number>()

  constructor(options: LineBudgetOptions) {
    this.#options = options
  }

  /** Lines not written since the start. */
  get suppressed(): number {
    return this.#suppressed
  }

  /** Whether a line may be written now. */
  take(kind: Kind, nowMs: number): boolean {
    const { linesPerSecond, linesBurst } = this.#options
    let bucket = this.#buckets.get(kind)
    if (bucket === undefined) {
      bucket = new TokenBucket({ ratePerSecond: linesPerSecond, burst: linesBurst, nowMs })
      this.#buckets.set(kind, bucket)
    }
    if (bucket.take(nowMs)) return true
    this.#suppressed += 1
    this.#untold.set(kind, (this.#untold.get(kind) ?? 0) + 1)
    return false
  }

  /** Those not written since the last call, by kind; undefined where there are none. */
  takeSuppressed(): Readonly<Record<string, number>> | undefined {
    if (this.#untold.size === 0) return undefined
    const counts = Object.fromEntries(this.#untold)
    this.#untold.clear()
    return counts
  }
}
