// Durations as they are written: a whole number and a unit, `250ms 5s 10m 1h`; short ones `50us 1ms`.

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
export const durationPattern = /^(\d{1,12})(ms|s|m|h)$/

const unitUs: Readonly<Record<string, number>> = { us: 1, ms: 1_000, s: 1_000_000 }
export const shortDurationPattern = /^(\d{1,12})(us|ms|s)$/

/** @returns milliseconds; undefined for what is no duration */
export function parseDurationMs(text: string): number | undefined {
  return parse(text, durationPattern, unitMs)
}

/** @returns microseconds; undefined for what is no short duration */
export function parseDurationUs(text: string): number | undefined {
  return parse(text, shortDurationPattern, unitUs)
}

function parse(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const [, count, unit = ''] = pattern.exec(text) ?? []
  const size = units[unit]
  return size === undefined ? undefined : Number(count) * size
}
