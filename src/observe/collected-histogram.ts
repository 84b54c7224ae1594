// A histogram that is counted elsewhere, and read at each scrape.

import type { Histogram } from 'prom-client'

export interface HistogramTotals {
  /** Cumulative, and one more than there are bounds: the last is the count. */
  readonly buckets: readonly number[]
  readonly sum: number
}

export interface CollectedHistogramOptions {
  readonly name: string
  readonly help: string
  readonly upperBounds: readonly number[]
  readonly read: () => HistogramTotals | Promise<HistogramTotals>
}

/** prom-client's own histogram can only be told of observations, one by one. Of a metric, its registry asks no more than this. */
export function collectedHistogram({ name, help, upperBounds, read }: CollectedHistogramOptions): Histogram {
  const get = async () => {
    const { buckets, sum } = await read()
    const values = buckets.map((value, index) => ({ metricName: `${name}_bucket`, labels: { le: upperBounds[index] ?? '+Inf' }, value }))
    const count = buckets.at(-1) ?? 0
    return { name, help, type: 'histogram', values: [...values, { metricName: `${name}_sum`, value: sum }, { metricName: `${name}_count`, value: count }] }
  }
  return { name, get } as unknown as Histogram
}
