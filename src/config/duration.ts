// Durations as they are written: a whole number and a unit, `250ms 5s 10m 1h`; short ones `50us 1ms`.

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const
export const durationPattern = /^(\d{1,12})(ms|s|m|h)$/

/** @returns milliseconds; undefined for what is no duration */
export function parseDurationMs(text: string): number | undefined {
  const match = durationPattern.exec(text)
  if (match === null) return undefined
  const [, count, unit] = match
  switch (unit) {
    case 'ms':
    case 's':
    case 'm':
    case 'h': return Number(count) * unitMs[unit]
    default: return undefined
  }
}

const unitUs = { us: 1, ms: 1_000, s: 1_000_000 } as const
export const shortDurationPattern = /^(\d{1,12})(us|ms|s)$/

/** @returns microseconds; undefined for what is no short duration */
export function parseDurationUs(text: string): number | undefined {
  const match = shortDurationPattern.exec(text)
  if (match === null) return undefined
  const [, count, unit] = match
  switch (unit) {
    case 'us':
    case 'ms':
    case 's': return Number(count) * unitUs[unit]
    default: return undefined
  }
}
