// Log lines that a peer can cause at will, bounded: so many of each kind.
//
// Kinds come from our own unions, so the table is as small as they are. Each kind has a budget of its own: a flood of port
// scans must not hide the one line that tells of a misspelt hostname.

import { TokenBucket } from '../core/limit/token-bucket.ts'

export interface LineBudgetOptions {
  /** For each kind. */
  readonly linesPerSecond: number
  /** Of one kind at once, after a rest; ≥1. */
  readonly linesBurst: number
  /** Of both, where several threads have a budget together; one line at once is always allowed. @default 1 */
  readonly share?: number
}

export class LineBudget<Kind extends string> {
  readonly #ratePerSecond: number
  readonly #burst: number
  readonly #buckets = new Map<Kind, TokenBucket>()

  constructor({ linesPerSecond, linesBurst, share = 1 }: LineBudgetOptions) {
    this.#ratePerSecond = linesPerSecond * share
    this.#burst = Math.max(1, linesBurst * share)
  }

  /** Whether a line may be written now. */
  take(kind: Kind, nowMs: number): boolean {
    let bucket = this.#buckets.get(kind)
    if (bucket === undefined) {
      bucket = new TokenBucket({ ratePerSecond: this.#ratePerSecond, burst: this.#burst, nowMs })
      this.#buckets.set(kind, bucket)
    }
    return bucket.take(nowMs)
  }
}
