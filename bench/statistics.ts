// What several runs come to. Pure.

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly count: number
}

/** @returns undefined for no values */
export function summarise(values: readonly number[]): Summary | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (min === undefined || max === undefined) return undefined
  return { median: median(sorted), min, max, count: sorted.length }
}

function median(sorted: readonly number[]): number {
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  if (sorted.length % 2 === 1) return upper
  return ((sorted[sorted.length / 2 - 1] ?? Number.NaN) + upper) / 2
}

export interface RunValue {
  readonly run: number
  readonly value: number
}

/**
 * The value as a multiple of the best rival's in the same run: noise that hits a whole run cancels out.
 * @param rivals all values of all rivals
 * @returns the median over the runs that have both; undefined if there are none
 */
export function ratioToBest(own: readonly RunValue[], rivals: readonly RunValue[], better: 'more' | 'less'): number | undefined {
  const ratios = own.flatMap(({ run, value }) => {
    const others = rivals.filter((rival) => rival.run === run).map((rival) => rival.value)
    if (others.length === 0) return []
    const best = better === 'more' ? Math.max(...others) : Math.min(...others)
    return best === 0 ? [] : [value / best]
  })
  return summarise(ratios)?.median
}
