// Durations as they are written: a whole number and a unit, `250ms 5s 10m 1h`.

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
