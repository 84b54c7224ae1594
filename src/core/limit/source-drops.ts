// Which sources' connections are not worth an answer for a while: a source that goes on and on over its rate is dropped, so that the
// system throws its SYNs away. To refuse each costs an accept, a reset and a handshake; a SYN that is thrown away costs next to nothing.
//
//   refused ─▶ … ─ often enough within `windowMs` ─▶ dropped ─ its rate has room again ─▶ watched ─ refused again, less often ─▶ dropped
//
// A period ends when half to all of its burst has come back, a different part for each source and each time, so that those that began
// together do not come back together. So a source has its rate over time, as if each of its connections were answered, unless its burst is less
// than `periodMsMin` of its rate. A few refusals come first: whoever comes a little too fast once is told at once. Where sources are banned, each
// further period is twice as long, until one has kept to its rate for a while.
//
// The table has a fixed size and no secret in its hash: sources that push each other out of it are refused one by one, as without it.

import type { SourceKey } from '../net/source-key.ts'
import type { ListenerPolicy } from '../snapshot.ts'
import { mixBits } from '../stable-hash.ts'
import type { SourceDropRule } from './limits.ts'

/** At one time. */
export const droppedSourcesMax = 256
/** Refusals within `windowMs` before the first period, and before another one within `recallMs`. */
const refusalsBefore = 16
const refusalsAgain = 4
const windowMs = 1_000
const recallMs = 10_000
export const periodMsMin = 250
/** A client's system sends its SYN again after 1 s, and then after 2. */
export const periodMsMax = 2_000
export const banMsMax = 60_000
/** More do not make a ban longer. */
const timesMax = 20
/** Sources that are dropped, or watched. */
const rowsMax = 2_048
const rowsPerBucket = 8
const nanosecondsPerMs = 1_000_000

export type DroppedSource = Readonly<Pick<SourceKey, 'isIpv6' | 'high' | 'low'>>

/** A period begins. */
export interface SourceDrop {
  /** That were needed for it. */
  readonly refusals: number
  readonly periodMs: number
  /** It was not dropped lately. */
  readonly isFirst: boolean
}

/** Who is dropped on the listener; undefined: nobody. Where a PROXY header tells of the source, SYNs are the balancer's. */
export function sourceDropOf({ limits, proxyProtocolTrustedSources }: ListenerPolicy): SourceDropRule | undefined {
  return proxyProtocolTrustedSources === undefined ? limits?.sourceDrop : undefined
}

/** Of one listener. */
export class SourceDrops {
  // By row; a row with `family` 0 is free.
  readonly #family = new Uint8Array(rowsMax)
  readonly #high = new Int32Array(rowsMax)
  readonly #low = new Int32Array(rowsMax)
  readonly #refusals = new Uint8Array(rowsMax)
  /** Periods in a row. */
  readonly #times = new Uint8Array(rowsMax)
  readonly #sinceMs = new Float64Array(rowsMax)
  /** End of its last period. */
  readonly #untilMs = new Float64Array(rowsMax).fill(-Infinity)
  /** Rows of those that are dropped. */
  #dropped: number[] = []
  #droppedMax = droppedSourcesMax
  #nextEndMs = Infinity
  #periods = 0

  /**
   * A connection of this source was refused for its rate.
   * @returns that the source is dropped from now on; `full`: it would be, if there were not as many already as may be
   */
  refused(source: DroppedSource, { pace: { intervalNs, toleranceNs }, bans }: SourceDropRule, nowMs: number): SourceDrop | 'full' | undefined {
    const row = this.#rowOf(source, nowMs)
    // One that is dropped may have been in the queue already.
    if (row === -1 || (this.#untilMs[row] ?? 0) > nowMs) return undefined
    if (nowMs - (this.#sinceMs[row] ?? 0) > windowMs) {
      this.#sinceMs[row] = nowMs
      this.#refusals[row] = 0
    }
    const refusals = (this.#refusals[row] ?? 0) + 1
    const isFirst = nowMs - (this.#untilMs[row] ?? 0) > recallMs
    this.#refusals[row] = refusals
    if (refusals < (isFirst ? refusalsBefore : refusalsAgain)) return undefined
    this.#refusals[row] = 0
    this.letGo(nowMs)
    if (this.#dropped.length >= this.#droppedMax) return 'full'
    this.#periods += 1
    const burstMs = Number(intervalNs + toleranceNs) / nanosecondsPerMs
    const part = 0.5 + mixBits(source.low ^ Math.imul(this.#periods, 0x9e3779b1)) / 2 ** 33
    const times = isFirst ? 1 : Math.min(timesMax, (this.#times[row] ?? 0) + 1)
    this.#times[row] = times
    const once = Math.max(periodMsMin, burstMs * part)
    const periodMs = bans ? Math.min(banMsMax, once * 2 ** (times - 1)) : Math.min(periodMsMax, once)
    this.#untilMs[row] = nowMs + periodMs
    this.#nextEndMs = Math.min(this.#nextEndMs, nowMs + periodMs)
    this.#dropped.push(row)
    return { refusals, periodMs, isFirst }
  }

  /** When the next period ends; Infinity while there is none. */
  get nextEndMs(): number {
    return this.#nextEndMs
  }

  /** Those whose period has ended are dropped no longer. @returns whether there were any */
  letGo(nowMs: number): boolean {
    if (nowMs < this.#nextEndMs) return false
    this.#keep(this.#dropped.filter((row) => (this.#untilMs[row] ?? 0) > nowMs))
    return true
  }

  /** No more than so many are dropped, as long as any is: the kernel takes no longer filter. Others are refused one by one, as those that find no room. */
  limit(max: number): void {
    this.#droppedMax = max
    this.#keep(this.#dropped.slice(0, max))
  }

  #keep(rows: number[]): void {
    this.#dropped = rows
    if (rows.length === 0) this.#droppedMax = droppedSourcesMax
    this.#nextEndMs = rows.reduce((nextMs, row) => Math.min(nextMs, this.#untilMs[row] ?? 0), Infinity)
  }

  /** Those that are dropped. */
  sources(): readonly DroppedSource[] {
    return this.#dropped.map((row) => ({ isIpv6: this.#family[row] === 6, high: this.#high[row] ?? 0, low: this.#low[row] ?? 0 }))
  }

  /** Its row, or that of one that is not dropped and was counted the longest ago. @returns -1: all in its bucket are dropped */
  #rowOf({ isIpv6, high, low }: DroppedSource, nowMs: number): number {
    const family = isIpv6 ? 6 : 4
    const first = mixBits(Math.imul(high, 0x9e3779b1) ^ low) % (rowsMax / rowsPerBucket) * rowsPerBucket
    let taken = -1
    for (let row = first; row < first + rowsPerBucket; row++) {
      if (this.#family[row] === family && this.#high[row] === high && this.#low[row] === low) return row
      if ((this.#untilMs[row] ?? 0) > nowMs) continue
      if (taken === -1 || (this.#sinceMs[row] ?? 0) < (this.#sinceMs[taken] ?? 0)) taken = row
    }
    if (taken === -1) return -1
    this.#family[taken] = family
    this.#high[taken] = high
    this.#low[taken] = low
    this.#refusals[taken] = 0
    this.#sinceMs[taken] = nowMs
    this.#untilMs[taken] = -Infinity
    return taken
  }
}
