// From storms and attacks to the tables that are printed. Pure.

import type { Machine } from '../machine.ts'
import type { Column } from '../metrics.ts'
import { duration, row, table } from '../report.ts'
import { direct } from '../result.ts'
import type { Mode, StormOptions } from './options.ts'
import type { StormMeasurement } from './session.ts'
import type { ModeTargets } from './targets.ts'

export interface StormResult {
  /** ISO 8601. */
  readonly startedAt: string
  readonly tookSeconds: number
  readonly machine: Machine
  /** Places of a listener's queue, at the most. */
  readonly queueMax: number
  readonly options: StormOptions
  readonly modes: readonly ModeTargets[]
  readonly measurements: readonly StormMeasurement[]
}

const latencies = (what: string): readonly Column[] => [
  { metric: 'beforeP50Us', title: 'p50 calm, µs', digits: 0 },
  { metric: 'p50Us', title: `p50 ${what}, µs`, digits: 0 },
  { metric: 'beforeP99Us', title: 'p99 calm, µs', digits: 0 },
  { metric: 'p99Us', title: `p99 ${what}, µs`, digits: 0, compared: 'less' },
  { metric: 'timesP99', title: 'times calm', digits: 2, compared: 'less' },
  { metric: 'maxUs', title: 'max, µs', digits: 0 },
  { metric: 'generatorLateP99Us', title: 'generator late p99, µs', digits: 0 },
]

const stormColumns: readonly Column[] = [
  ...latencies('in the storm'),
  { metric: 'halfInMs', title: 'half in, ms', digits: 0 },
  { metric: 'mostInMs', title: '99 % in, ms', digits: 0 },
  { metric: 'allInMs', title: 'all in, ms', digits: 0, compared: 'less' },
  { metric: 'alerts', title: 'alerts', digits: 0 },
  { metric: 'resets', title: 'resets', digits: 0 },
  { metric: 'timeouts', title: 'timeouts', digits: 0 },
  { metric: 'memoryMib', title: 'memory, MiB', digits: 0 },
  { metric: 'peakMib', title: 'most resident, MiB', digits: 0 },
  { metric: 'relayCores', title: 'cores: relay', digits: 2 },
]

const attackColumns: readonly Column[] = [
  ...latencies('under attack'),
  { metric: 'newcomerP50Ms', title: 'newcomers p50, ms', digits: 2 },
  { metric: 'newcomerP99Ms', title: 'newcomers p99, ms', digits: 2, compared: 'less' },
  { metric: 'newcomersFailed', title: 'newcomers failed', digits: 0 },
  { metric: 'attackers', title: 'attackers', digits: 0 },
  { metric: 'attackersAnswered', title: 'answered by the server', digits: 0 },
  { metric: 'peakMib', title: 'most resident, MiB', digits: 0 },
  { metric: 'relayCores', title: 'cores: relay', digits: 2 },
]

/** @param workload a mode */
export function columnsOf(workload: string): readonly Column[] {
  return workload === 'storm' ? stormColumns : attackColumns
}

/** @returns Markdown, a line a line */
export function renderStorm({ startedAt, tookSeconds, machine, queueMax, options, modes, measurements }: StormResult): string {
  const { runs, durationMs, clients, tenants, steady, requestsPerSecond, attackPerSecond } = options
  const titles: Readonly<Record<Mode, string>> = {
    storm: `${clients.toLocaleString('en')} clients of ${tenants} tenants connect at once`,
    attack: `One tenant is attacked with ${attackPerSecond.toLocaleString('en')} connections a second`,
  }
  return [
    `# Storm, ${startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    '',
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, ${machine.kernel}, Node ${machine.node}. ${runs} runs, took ${duration(tookSeconds)}; net.core.somaxconn is ${queueMax.toLocaleString('en')}. `
    + `Latencies are of ${requestsPerSecond.toLocaleString('en')} requests/s, due at fixed times, over ${steady} connections of a tenant of their own, in windows of ${durationMs / 1000} s: one before, and one that begins with the storm or the attack. `
    + 'Cells are medians over the runs, with (least–most). **× ↓** is the multiple of a direct connection in the same run, less is better.',
    ...modes.flatMap(({ mode, found, absent }) => [
      '', `## ${titles[mode]}`, '',
      ...table({ columns: columnsOf(mode), targets: found, measured: measurements.filter(({ workload }) => workload === mode), rivalsOf: ({ name }) => (name === direct ? [] : [direct]) }),
      '', '| | version | settings |', '|---|---|---|',
      ...found.map(({ name, version, settings }) => row([name, version, settings])),
      ...absent.map((each) => `\nNot measured: ${each}.`),
    ]),
    '',
  ].join('\n')
}
