// From a result to the table that is printed. Pure.

import { type Column, columnsOf, type MetricName } from './metrics.ts'
import type { Options } from './options.ts'
import { type BenchResult, direct, isOwn, type Measurement, own, type TargetFacts } from './result.ts'
import { ratioToBest, type RunValue, type Summary, summarise } from './statistics.ts'
import type { Workload } from './workload.ts'

/** Cores that other processes used, from which on a reader should be told. */
const noisyCores = 0.1

/** @returns Markdown, a line a line */
export function renderReport(result: BenchResult): string {
  return [
    ...header(result),
    ...result.workloads.flatMap((workload) => ['', ...section(result, workload)]),
    ...result.skipped.map(({ workload, reason }) => `\nNot measured: ${workload}; ${reason}.`),
    ...problems(result),
    '',
  ].join('\n')
}

function header({ startedAt, tookSeconds, machine, options, targets, absent, measurements }: BenchResult): string[] {
  return [
    `# Bench, ${startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    '',
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, ${machine.kernel}, Node ${machine.node}. `
    + `${options.runs} runs of ${options.durationMs / 1000} s each, loopback, took ${duration(tookSeconds)}. `
    + (options.relayCores === undefined ? '' : `Relays had core ${options.relayCores.join(', ')} to themselves. `)
    + (options.cpuLatencyUs === undefined ? '' : `No core took longer than ${options.cpuLatencyUs} µs to wake up. `)
    + 'Cells are medians over the runs, with (least–most).',
    `**×** is the multiple of ${multipleOf(options)} in the same run; more is better unless it says ↓.`,
    ...noise(measurements),
    '',
    '| | version | settings |',
    '|---|---|---|',
    ...targets.map(({ name, version, settings }) => `| ${name} | ${version} | ${settings} |`),
    ...absent.map(({ name, reason }) => `| ${name} | – | ${reason} |`),
  ]
}

/** @returns what other programs did meanwhile; [] where nobody has looked */
export function noise(measurements: readonly Measurement[]): string[] {
  const otherCores = measurements.flatMap(({ metrics }) => metrics.otherCores ?? [])
  if (otherCores.length === 0) return []
  const mean = otherCores.reduce((sum, each) => sum + each, 0) / otherCores.length
  const verdict = mean > noisyCores ? ': **a noisy machine**, compare only within a table.' : '.'
  return [`Processes that have nothing to do with this used ${mean.toFixed(2)} cores meanwhile, up to ${Math.max(...otherCores).toFixed(2)}${verdict}`]
}

function section(result: BenchResult, workload: Workload): string[] {
  const columns = columnsOf[workload.spec.kind]
  const measured = result.measurements.filter((each) => each.workload === workload.name)
  return [`## ${workload.title}`, '', workload.explanation, '', ...table({ columns, targets: result.targets, measured, rivalsOf: (target) => rivalsOf(target, result) })]
}

export interface TableOptions<Target> {
  readonly columns: readonly Column[]
  /** Those without a measurement have no row. */
  readonly targets: readonly Target[]
  /** Of one workload. */
  readonly measured: readonly Measurement[]
  /** @returns names of the targets that a row's multiples are of */
  readonly rivalsOf: (target: Target) => readonly string[]
}

/** @returns Markdown, a line a line */
export function table<Target extends { readonly name: string }>({ columns, targets, measured, rivalsOf }: TableOptions<Target>): string[] {
  return [
    row(['', ...columns.flatMap((column) => (column.compared === undefined ? [column.title] : [column.title, column.compared === 'less' ? '× ↓' : '×'])), 'note']),
    `|---|${columns.map(({ compared }) => (compared === undefined ? '--:|' : '--:|--:|')).join('')}---|`,
    ...targets.filter(({ name }) => measured.some(({ target }) => target === name)).map((target) => targetRow(target.name, { columns, measured, rivals: rivalsOf(target) })),
  ]
}

function multipleOf({ hostnames: [first = 0, ...more] }: Options): string {
  return more.length === 0 ? `the best peer of ${own}` : `the same relay with ${first.toLocaleString('en')} hostnames`
}

/** @returns the targets that the row's multiples are of */
function rivalsOf({ relay }: TargetFacts, { options: { hostnames: [first, ...more] }, targets }: BenchResult): readonly string[] {
  const rivals = targets.filter((each) => (more.length === 0 ? each.relay !== direct && !isOwn(each.relay) : each.relay === relay && each.hostnames === first))
  return rivals.map(({ name }) => name)
}

interface RowContext {
  readonly columns: readonly Column[]
  readonly measured: readonly Measurement[]
  readonly rivals: readonly string[]
}

function targetRow(name: string, { columns, measured, rivals }: RowContext): string {
  const ofTarget = measured.filter(({ target }) => target === name)
  const ofRivals = measured.filter(({ target }) => rivals.includes(target))
  const cells = columns.flatMap((column) => {
    const summary = summarise(runValues(ofTarget, column.metric).map(({ value }) => value))
    if (column.compared === undefined) return [summary === undefined ? '–' : format(summary.median, column.digits)]
    const ratio = ratioToBest(runValues(ofTarget, column.metric), runValues(ofRivals, column.metric), column.compared)
    return [summary === undefined ? '–' : withSpread(summary, column.digits), ratio === undefined ? '–' : ratio.toFixed(2)]
  })
  return row([name, ...cells, notesOf(ofTarget)])
}

function runValues(measurements: readonly Measurement[], metric: MetricName): readonly RunValue[] {
  return measurements.flatMap(({ run, metrics }) => {
    const value = metrics[metric]
    return value === undefined ? [] : [{ run, value }]
  })
}

/** Caveats with how many of the runs they hold for; failures by the run. */
function notesOf(measurements: readonly Measurement[]): string {
  const counts = new Map<string, number>()
  for (const caveat of measurements.flatMap(({ caveats }) => caveats)) counts.set(caveat, (counts.get(caveat) ?? 0) + 1)
  const caveats = Array.from(counts, ([caveat, count]) => (count === measurements.length ? caveat : `${caveat} (${count} of ${measurements.length})`))
  const failures = measurements.flatMap(({ run, failure }) => (failure === undefined ? [] : [`**run ${run}: ${failure}**`]))
  return [...failures, ...caveats].join('; ')
}

export function problems(result: Pick<BenchResult, 'problems'>): string[] {
  return result.problems.length === 0 ? [] : ['', '## Problems', '', ...result.problems.map((problem) => `- ${problem.replaceAll('\n', '\n  ')}`)]
}

/** A median, and (least–most) where there are several. */
export function withSpread({ median, min, max, count }: Summary, digits: number): string {
  return count === 1 ? format(median, digits) : `${format(median, digits)} (${format(min, digits)}–${format(max, digits)})`
}

function format(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

export function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

/** `7:05` minutes. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} min`
}

/** One measurement in a line, for whoever waits. */
export function progressLine({ metrics, caveats, failure }: Measurement, columns: readonly Column[]): string {
  const figures = columns.filter(({ compared }) => compared !== undefined).flatMap(({ metric, title, digits }) => {
    const value = metrics[metric]
    return value === undefined ? [] : [`${format(value, digits)} ${title}`]
  })
  return [...figures, ...(failure === undefined ? [] : [`FAILED: ${failure}`]), ...caveats].join(' · ')
}
