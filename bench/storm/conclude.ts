// From what a storm's or an attack's clients saw to figures. Pure.

import type { Metrics } from '../metrics.ts'
import type { AttackTally } from './attack.ts'
import type { CrowdTally } from './crowd.ts'

export function stormFigures({ inAfterMs, failures, wrong }: CrowdTally): { readonly figures: Metrics; readonly failure?: string } {
  const sorted = inAfterMs.toSorted()
  const left = sorted.filter((ms) => ms === Infinity).length
  const figures: Metrics = {
    halfInMs: at(sorted, 0.5), mostInMs: at(sorted, 0.99), allInMs: at(sorted, 1),
    alerts: failures.alert, resets: failures.reset + failures.closed, timeouts: failures.timeout + failures.refused,
  }
  const failure = wrong > 0 ? `${wrong} clients were ended although they were in, or had a wrong echo` : left > 0 ? `${left} clients never came in` : undefined
  return { figures, ...(failure === undefined ? {} : { failure }) }
}

export function attackFigures({ begun, answered, newcomers, newcomersFailed }: AttackTally): Metrics {
  return {
    attackers: begun, attackersAnswered: answered, newcomersFailed,
    ...(newcomers.count === 0 ? {} : { newcomerP50Ms: newcomers.percentile(50) / 1e6, newcomerP99Ms: newcomers.percentile(99) / 1e6 }),
  }
}

/** @returns of sorted values the one that so many are not over */
function at(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
