// From a bench of tunnels to the tables that are printed. Pure.

import type { Machine } from '../machine.ts'
import { duration, noise, problems, row, table } from '../report.ts'
import type { Measurement } from '../result.ts'
import type { TunnelRunOptions } from './options.ts'
import type { TunnelWorkload } from './workloads.ts'

/** Its variants begin with it, too. */
const own = 'sluice'

export interface TunnelBenchResult {
  /** Of the report: `Tunnels`. */
  readonly title: string
  /** ISO 8601. */
  readonly startedAt: string
  readonly tookSeconds: number
  readonly machine: Machine
  readonly options: TunnelRunOptions
  readonly targets: readonly { readonly name: string, readonly version: string, readonly settings: string }[]
  readonly absent: readonly { readonly name: string, readonly reason: string }[]
  readonly workloads: readonly TunnelWorkload[]
  readonly measurements: readonly Measurement[]
  /** Ends that did not start, or that ended. */
  readonly problems: readonly string[]
}

/** @returns Markdown, a line a line */
export function renderTunnelReport(result: TunnelBenchResult): string {
  const { title, startedAt, tookSeconds, machine, options, targets, absent, measurements } = result
  return [
    `# ${title}, ${startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    '',
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, ${machine.kernel}, Node ${machine.node}. `
    + `${options.runs} runs of ${options.durationMs / 1000} s each, loopback, took ${duration(tookSeconds)}. `
    + 'Cells are medians over the runs, with (least–most). CPU and memory are those of both ends.',
    `**×** is the multiple of the best peer of ${own} in the same run; more is better unless it says ↓.`,
    ...noise(measurements),
    '',
    '| | version | settings |',
    '|---|---|---|',
    ...targets.map(({ name, version, settings }) => row([name, version, settings])),
    ...absent.map(({ name, reason }) => row([name, '–', reason])),
    ...result.workloads.flatMap((workload) => ['', ...section(result, workload)]),
    ...problems(result),
    '',
  ].join('\n')
}

function section({ targets, measurements }: TunnelBenchResult, { name, title, explanation, columns }: TunnelWorkload): string[] {
  const rivals = targets.filter((each) => !each.name.startsWith(own)).map((each) => each.name)
  return [`## ${title}`, '', explanation, '', ...table({ columns, targets, measured: measurements.filter(({ workload }) => workload === name), rivalsOf: () => rivals })]
}
