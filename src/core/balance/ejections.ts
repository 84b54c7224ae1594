// Endpoints that are passed over for a while because dials of clients fail there, whatever checks say: those may come by another
// way than clients do, or there are none.
//
//              failures in a row                time × how often in a row
//   ready ───────────────────────▶ ejected ───────────────────────────────▶ starting slowly ── time ──▶ ready
//                                     └────────── the next dial fails ◀────────────┘
//
// Failures are counted in memory that all threads share, a cell a row (endpoint-rows.ts): a dial of any thread that fails adds one, one
// that succeeds begins anew. So an endpoint that came back and that nobody has reached yet goes with its first failure.
//
// Who asks is the register (endpoint-register.ts): it knows of whom a row is, and how many of a tenant may be out.

import { shareParts } from './endpoint-states.ts'

export interface EjectionSpec {
  /** Dials in a row, of all threads, that fail. */
  readonly failures: number
  /** The first time; twice as long the second time, and so on. */
  readonly timeMs: number
  /** Of a tenant's endpoints that may have connections, those that are out at the most; but one may always be. */
  readonly sharePercent: number
}

/** Of a tenant's endpoints. */
export interface EjectionCounts {
  /** That may have connections but for their checks and for being ejected. */
  readonly eligible: number
  /** Of these, those that are down or ejected, and those that are ejected. */
  readonly failed: number
  readonly ejected: number
}

/** Times that an ejection gets longer. */
const timesMax = 10
const slowStartSteps = 16

interface Ejection {
  timeMs: number
  times: number
  isOut: boolean
  /** Since when it is out, or back. */
  sinceMs: number
  /** Of its weight, once it is back. */
  parts: number
}

/** Whether one more may be out. The last one that may be picked never is: then those that are down would be tried, and it with them. */
export function mayEject({ eligible, failed, ejected }: EjectionCounts, { sharePercent }: EjectionSpec): boolean {
  return eligible - failed > 1 && ejected < Math.max(1, Math.floor(eligible * sharePercent / 100))
}

export class Ejections {
  /** At most one for each row: those that are out, and those that are not back for long. */
  readonly #byRow = new Map<number, Ejection>()

  isOut(row: number): boolean {
    return this.#byRow.get(row)?.isOut === true
  }

  /** Of its weight, those that it may have: all, unless it starts slowly. */
  partsOf(row: number): number {
    return this.#byRow.get(row)?.parts ?? shareParts
  }

  /** @returns for how long */
  begin(row: number, { timeMs }: EjectionSpec, nowMs: number): number {
    const times = Math.min(timesMax, (this.#byRow.get(row)?.times ?? 0) + 1)
    this.#byRow.set(row, { timeMs, times, isOut: true, sinceMs: nowMs, parts: shareParts })
    return timeMs * times
  }

  /** What the configuration says now holds for those that are out already, too. */
  retime(row: number, { timeMs }: EjectionSpec): void {
    const ejection = this.#byRow.get(row)
    if (ejection !== undefined) ejection.timeMs = timeMs
  }

  /** As if it had never been out. */
  forget(row: number): void {
    this.#byRow.delete(row)
  }

  /** Rows that are back, and those that have another part of their weight. */
  step(nowMs: number): { readonly back: readonly number[]; readonly grown: readonly number[] } {
    const back: number[] = []
    const grown: number[] = []
    for (const [row, ejection] of this.#byRow) {
      const { timeMs, times, sinceMs } = ejection
      const passedMs = nowMs - sinceMs
      if (ejection.isOut) {
        if (passedMs < timeMs * times) continue
        ejection.isOut = false
        ejection.sinceMs = nowMs
        ejection.parts = shareParts / slowStartSteps
        back.push(row)
        continue
      }
      const parts = Math.min(slowStartSteps, 1 + Math.floor(passedMs / timeMs * slowStartSteps)) * shareParts / slowStartSteps
      if (parts !== ejection.parts) {
        ejection.parts = parts
        grown.push(row)
      }
      // Its next time is a first one again.
      if (passedMs >= timeMs * timesMax) this.#byRow.delete(row)
    }
    return { back, grown }
  }
}
