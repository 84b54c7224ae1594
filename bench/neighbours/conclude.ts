// From the readings of one measurement to its figures. Pure.

import type { Measured } from '../conclude.ts'
import type { CallCounts } from './calls.ts'
import type { SegmentReading } from './segment.ts'

const minuteMs = 60_000
/** Of the calls that were due. */
const behindShare = 0.98

export interface Reading extends SegmentReading {
  /** Since the calls began. */
  readonly atMs: number
  /** That have ended. */
  readonly calls: number
}

/**
 * @param readings from one before the calls on; the counters of an idle segment are 0
 * @param pairs calls of a round, in which each node calls each API server once
 */
export function conclude(readings: readonly Reading[], pairs: number, { due, answered, failed }: CallCounts): Measured {
  // One reading later than the count says: calls that follow overtake those that are slow.
  const first = readings[readings.findIndex(({ calls }) => calls >= pairs) + 1]
  const last = readings.at(-1)
  if (first === undefined || last === undefined || first === last || first.calls < pairs) return { metrics: {}, caveats: [], failure: 'too few readings: it was too short' }
  const perMinute = (of: (reading: Reading) => number): number => (of(last) - of(first)) / (last.atMs - first.atMs) * minuteMs
  const most = (of: (reading: Reading) => number): number => readings.reduce((most, reading) => Math.max(most, of(reading)), 0)
  const faults = Object.entries(failed).map(([what, count]) => `${count} × ${what}`)
  const done = answered + Object.values(failed).reduce((sum, each) => sum + each, 0)
  return {
    metrics: {
      firstBroadcasts: first.broadcasts,
      broadcastsPerMinute: perMinute(({ broadcasts }) => broadcasts),
      copiesPerMinute: perMinute(({ copies }) => copies),
      probesPerMinute: perMinute(({ probes }) => probes),
      nodeEntries: most(({ nodeEntries }) => nodeEntries),
      apiServerEntries: most(({ apiServerEntries }) => apiServerEntries),
      gatewayEntries: most(({ gatewayEntries }) => gatewayEntries),
      entries: most(({ entries }) => entries),
    },
    caveats: done < due * behindShare ? [`${done} calls of ${due} that were due`] : [],
    ...(faults.length === 0 ? {} : { failure: `of ${done} calls failed ${faults.join('; ')}` }),
  }
}
