// Counts what costs the peer little and us more (CVE-2023-44487 and its kin): each kind has a bucket of its own.

import { TokenBucket } from '../limit/token-bucket.ts'
import type { FloodKind, MuxLimits } from './limits.ts'

export class FloodGuard {
  readonly #buckets: Readonly<Record<FloodKind, TokenBucket>>

  constructor(rates: MuxLimits['rates'], nowMs: number) {
    const bucket = (kind: FloodKind): TokenBucket => new TokenBucket({ ratePerSecond: rates[kind].perSecond, burst: rates[kind].burst, nowMs })
    this.#buckets = { opens: bucket('opens'), resets: bucket('resets'), pings: bucket('pings'), empty: bucket('empty'), updates: bucket('updates') }
  }

  /** @returns false where it was one too many */
  allows(kind: FloodKind, nowMs: number): boolean {
    return this.#buckets[kind].take(nowMs)
  }
}
