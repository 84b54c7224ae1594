// The summary: a table for people, and whether all held.

import type { Fault } from './chaos.ts'
import type { GatewaySample } from './gateway-under-test.ts'
import type { Verdict } from './judge.ts'
import { mebibytes, type MemoryTrend } from './watch.ts'

export interface FaultsReport {
  readonly seed: number
  readonly driver: string
  readonly seconds: number
  readonly connections: number
  readonly verdicts: Readonly<Partial<Record<Verdict['kind'], number>>>
  readonly comparedBytes: number
  readonly faults: Readonly<Record<Fault, number>>
  /** As the gateway counted its connections. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Times that the gateway stopped reading because the other side was full. */
  readonly pauses: number
  readonly before: GatewaySample
  readonly after: GatewaySample
  readonly openMax: number
  readonly descriptorsMax: number
  readonly memory: MemoryTrend
  /** Used, on average. */
  readonly cores: { readonly load: number; readonly gateway: number }
  /** From SIGTERM to the exit. */
  readonly exitMs: number
  readonly violations: readonly string[]
}

export function formatReport(report: FaultsReport): string {
  const { before, after, memory } = report
  const rows: readonly (readonly [string, string])[] = [
    ['run', `seed ${report.seed}, driver ${report.driver}, ${Math.round(report.seconds)} s`],
    ['connections', `${report.connections}, at most ${report.openMax} at a time`],
    ...Object.entries(report.verdicts).sort(([, left], [, right]) => right - left).map(([kind, count]) => [`  ${kind}`, String(count)] as const),
    ['of the gateway', Object.entries(report.outcomes).map(([outcome, count]) => `${outcome} ${count}`).join(', ')],
    ['backpressure', `${report.pauses} pauses`],
    ['bytes compared', `${report.comparedBytes} (${mebibytes(report.comparedBytes)})`],
    ['faults', ''],
    ...Object.entries(report.faults).map(([fault, count]) => [`  ${fault}`, String(count)] as const),
    ['descriptors', `${before.descriptors} before, ${report.descriptorsMax} at most, ${after.descriptors} after`],
    ['threads', `${before.threads} before, ${after.threads} after`],
    ['memory (PSS)', `${mebibytes(before.pssBytes)} before; by quarters ${memory.quarterBytes.map(mebibytes).join(', ')}; ${mebibytes(after.pssBytes)} after`],
    ['resident', `${mebibytes(before.rssBytes)} before, ${mebibytes(after.rssBytes)} after`],
    ['cores used', `clients and backends ${report.cores.load.toFixed(2)}, gateway ${report.cores.gateway.toFixed(2)}`],
    ['exit after SIGTERM', `${Math.round(report.exitMs)} ms`],
    ['result', report.violations.length === 0 ? 'nothing leaked, nothing corrupted' : `${report.violations.length} violations`],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  const table = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join('\n')
  return [table, ...report.violations].join('\n\n')
}
