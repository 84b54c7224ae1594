// A link carries the streams of many nodes.

import { muxLimits, type MuxLimits } from '../../core/mux/limits.ts'

const streamsMax = 20_000

export const linkLimits = {
  streamsMax,
  unacknowledgedMax: 4_096,
  // Of both sides' streams, all at once: what is behind one of the ends is lost together, and what has nothing to do with it goes on.
  rates: { ...muxLimits.rates, resets: { perSecond: streamsMax, burst: 4 * streamsMax } },
} as const satisfies Partial<MuxLimits>

/** A thread that is gone has closed its port. One that is only silent was paused, with this one perhaps, and is not linked to anew. */
export const threadLinkLimits = { ...linkLimits, silenceMs: Infinity } as const satisfies Partial<MuxLimits>
