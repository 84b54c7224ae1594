// From a storm of neighbours to the tables that are printed. Pure.

import type { Machine } from '../machine.ts'
import type { Column } from '../metrics.ts'
import { duration, row, table } from '../report.ts'
import { direct } from '../result.ts'
import type { NeighboursOptions } from './options.ts'
import type { TableLimits } from './segment.ts'
import { type NeighboursMeasurement, targets, workloadOf } from './session.ts'

export interface NeighboursResult {
  /** ISO 8601. */
  readonly startedAt: string
  readonly tookSeconds: number
  readonly machine: Machine
  readonly options: NeighboursOptions
  readonly version: string
  readonly limits: TableLimits
  /** As the bench has set it. */
  readonly expiry: { readonly baseReachableMs: number, readonly staleMs: number, readonly delayProbeMs: number }
  readonly measurements: readonly NeighboursMeasurement[]
}

export const columns: readonly Column[] = [
  { metric: 'firstBroadcasts', title: 'broadcasts in the first round', digits: 0, compared: 'less' },
  { metric: 'broadcastsPerMinute', title: 'broadcasts a minute afterwards', digits: 0, compared: 'less' },
  { metric: 'copiesPerMinute', title: 'frames that hosts get of these, a minute', digits: 0 },
  { metric: 'probesPerMinute', title: 'unicast requests a minute', digits: 0 },
  { metric: 'nodeEntries', title: 'entries: a node', digits: 0 },
  { metric: 'apiServerEntries', title: 'an API server', digits: 0 },
  { metric: 'gatewayEntries', title: 'the gateway', digits: 0 },
  { metric: 'entries', title: 'all together', digits: 0, compared: 'less' },
]

/** @returns Markdown, a line a line */
export function renderNeighbours({ startedAt, tookSeconds, machine, options, version, limits, expiry, measurements }: NeighboursResult): string {
  const { nodes, apiServers, intervalsMs, runs, durationMs } = options
  return [
    `# Neighbours, ${startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    '',
    `${machine.cores} cores (${machine.cpu}), ${machine.kernel}, Node ${machine.node}, Sluice ${version}. ${nodes} nodes and ${apiServers} API servers, each with a MAC address of its own on one bridge. `
    + `${runs} runs of ${durationMs / 1000} s each, which begin with empty tables; took ${duration(tookSeconds)}. In a round each node calls each API server once. Cells are medians over the runs, with (least–most). **× ↓** is the multiple of direct calls, less is better.`,
    `Entries are reachable for ${expiry.baseReachableMs / 1000} s (half to one and a half times that), and stale ${expiry.staleMs / 1000} s after their last use: a sixth of Linux’s defaults. `
    + `Stale ones are swept every ${limits.sweepMs / 1000} s, while the machine has ${limits.thresh1} or more. Entries are the most at one reading, of the host of a kind that has the most.`,
    ...intervalsMs.flatMap((intervalMs) => section(measurements, intervalMs)),
    '',
    row(['', 'way']),
    '|---|---|',
    row([direct, 'nodes connect to the API servers’ own addresses']),
    row([targets[1], 'nodes connect to the gateway’s one address, and it to the API servers, by SNI; `relay: { workers: 1 }`, every other setting at its default']),
    '',
  ].join('\n')
}

function section(measurements: readonly NeighboursMeasurement[], intervalMs: number): string[] {
  const measured = measurements.filter(({ workload }) => workload === workloadOf(intervalMs))
  return [
    '',
    `## Each node calls each API server every ${intervalMs / 1000} s`,
    '',
    ...table({ columns, targets: targets.map((name) => ({ name })), measured, rivalsOf: ({ name }) => (name === direct ? [] : [direct]) }),
  ]
}
