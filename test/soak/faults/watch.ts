// What the gateway's process uses over time, and whether it gives it back.

import type { GatewaySample } from './gateway-under-test.ts'

/**
 * Descriptors over those before the first connection, at the end. A reload that has just ended may hold some for a moment,
 * and each worker keeps two pipes; a leak of one in ten thousand connections is more in an hour.
 */
const descriptorSlack = 12
/** Threads likewise: libuv starts those of its pool when they are first needed. */
const threadSlack = 6
/** Memory, the last quarter's median over the first's: what a collector may put off. */
const memoryGrowthMax = 1.2
const memorySlackBytes = 16 * 2 ** 20
/** A part of the samples at the beginning: code is being compiled, and buffers find their size. */
const warmUpPart = 0.1
/** With fewer samples there is nothing to compare. */
const samplesMin = 24

export interface MemoryTrend {
  /** Medians of PSS in each quarter after the warm-up. */
  readonly quarterBytes: readonly number[]
  readonly violation?: string
}

export function memoryTrend(samples: readonly GatewaySample[]): MemoryTrend {
  const warm = samples.slice(Math.floor(samples.length * warmUpPart))
  const quarterBytes = Array.from({ length: 4 }, (_, quarter) =>
    median(warm.slice(Math.floor((quarter * warm.length) / 4), Math.floor(((quarter + 1) * warm.length) / 4)).map(({ pssBytes }) => pssBytes)))
  const [first = NaN, , , last = NaN] = quarterBytes
  const boundBytes = first * memoryGrowthMax + memorySlackBytes
  if (samples.length < samplesMin || last <= boundBytes) return { quarterBytes }
  return { quarterBytes, violation: `memory grew from ${mebibytes(first)} to ${mebibytes(last)}; the bound is ${mebibytes(boundBytes)}` }
}

/** What is not yet as it was before the first connection. */
export function notReturned(before: GatewaySample, now: GatewaySample): string | undefined {
  if (now.openConnections !== 0) return `${now.openConnections} connections are open`
  if (now.descriptors > before.descriptors + descriptorSlack) return `${now.descriptors} descriptors are open; before the first connection there were ${before.descriptors}`
  if (now.threads > before.threads + threadSlack) return `${now.threads} threads run; before the first connection there were ${before.threads}`
  return undefined
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}
