// A link carries the streams of many nodes.

import type { MuxLimits } from '../../core/mux/limits.ts'

export const linkLimits = { streamsMax: 20_000, unacknowledgedMax: 4_096 } as const satisfies Partial<MuxLimits>
