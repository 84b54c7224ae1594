import { test } from 'tap'
import type { Metrics } from '../../bench/metrics.ts'
import { parseOptions } from '../../bench/options.ts'
import { columnsOf } from '../../bench/metrics.ts'
import { progressLine, renderReport } from '../../bench/report.ts'
import type { BenchResult, Measurement } from '../../bench/result.ts'
import { workloadsOf } from '../../bench/workload.ts'

const options = parseOptions(['--modes', 'download', '--runs', '2', '--duration', '3'], ['direct'])
if (options === undefined) throw new Error('unreachable')
const workloads = workloadsOf(options)

function download(run: number, target: string, metrics: Metrics, rest: Partial<Measurement> = {}): Measurement {
  return { run, target, workload: 'download', metrics: { otherCores: 0.02, ...metrics }, caveats: [], ...rest }
}

function result(measurements: readonly Measurement[], rest: Partial<BenchResult> = {}): BenchResult {
  return {
    startedAt: '2026-01-02T03:04:05.678Z',
    tookSeconds: 62,
    machine: { cpu: 'abacus', cores: 2, memoryGib: 4, kernel: 'Linux 6', node: 'v26.0.0', descriptorLimit: 1024 },
    options: options ?? workloadless(),
    targets: ['direct', 'sluice', 'haproxy', 'nginx'].map((name) => ({ name, relay: name, hostnames: 3, version: '1', settings: 'as shipped' })),
    absent: [],
    workloads,
    skipped: [],
    measurements,
    problems: [],
    ...rest,
  }
}

function workloadless(): never {
  throw new Error('unreachable')
}

/** Cells of the row that begins with this name, in the table of figures. */
function cellsOf(report: string, target: string): readonly string[] {
  const row = report.split('\n').findLast((line) => line.startsWith(`| ${target} |`)) ?? ''
  return row.split('|').slice(1, -1).map((cell) => cell.trim())
}

void test('cells are medians with their spread, and multiples of the best peer in each run', async (t) => {
  const report = renderReport(result([
    download(1, 'direct', { gigabytesPerSecond: 4 }),
    download(1, 'sluice', { gigabytesPerSecond: 1, cpuSecondsPerGigabyte: 0.6, memoryMib: 10.04 }),
    download(1, 'haproxy', { gigabytesPerSecond: 2, cpuSecondsPerGigabyte: 0.3 }),
    download(1, 'nginx', { gigabytesPerSecond: 1.5, cpuSecondsPerGigabyte: 0.4 }),
    download(2, 'sluice', { gigabytesPerSecond: 2, cpuSecondsPerGigabyte: 0.2 }),
    download(2, 'haproxy', { gigabytesPerSecond: 1, cpuSecondsPerGigabyte: 0.4 }),
  ]))
  t.same(cellsOf(report, 'sluice').slice(0, 6), ['sluice', '1.50 (1.00–2.00)', '1.25', '0.400 (0.200–0.600)', '1.25', '10.0'])
  t.same(cellsOf(report, 'direct').slice(0, 6), ['direct', '4.00', '2.00', '–', '–', '–'], 'a direct connection is nobody\'s best peer')
  t.match(report, '2 cores (abacus), 4 GiB, Linux 6, Node v26.0.0. 2 runs of 3 s each, loopback, took 1:02 min.')
})

void test('with several numbers of hostnames each relay is compared with itself', async (t) => {
  const targets = ['sluice-10', 'sluice-100', 'nginx-10', 'nginx-100'].map((name) => {
    const [relay = '', hostnames] = name.split('-')
    return { name, relay, hostnames: Number(hostnames), version: '1', settings: 'as shipped' }
  })
  const report = renderReport(result([
    download(1, 'sluice-10', { gigabytesPerSecond: 4 }), download(1, 'sluice-100', { gigabytesPerSecond: 2 }),
    download(1, 'nginx-10', { gigabytesPerSecond: 3 }), download(1, 'nginx-100', { gigabytesPerSecond: 3 }),
  ], { targets, options: { ...(options ?? workloadless()), hostnames: [10, 100] } }))
  t.same(targets.map(({ name }) => cellsOf(report, name).slice(1, 3)), [['4.00', '1.00'], ['2.00', '0.50'], ['3.00', '1.00'], ['3.00', '1.00']])
  t.match(report, '**×** is the multiple of the same relay with 10 hostnames in the same run')
})

void test('without a peer there is no multiple', async (t) => {
  const report = renderReport(result([download(1, 'sluice', { gigabytesPerSecond: 1 })]))
  t.same(cellsOf(report, 'sluice').slice(0, 3), ['sluice', '1.00', '–'])
})

void test('rows have as many cells as the heading', async (t) => {
  const lines = renderReport(result([download(1, 'sluice', {})])).split('\n').filter((line) => line.startsWith('|'))
  const widths = new Set(lines.slice(-3).map((line) => line.split('|').length))
  t.equal(widths.size, 1)
})

void test('what went wrong or limits a figure stands beside it', async (t) => {
  const report = renderReport(result([
    download(1, 'sluice', {}, { caveats: ['backend full'] }),
    download(2, 'sluice', {}, { failure: '3 failed: ECONNRESET' }),
    download(1, 'nginx', {}, { caveats: ['generator full'] }),
  ], { problems: ['run 2: sniproxy did not start\n  no such table'], absent: [{ name: 'sniproxy', reason: 'not installed' }], skipped: [{ workload: 'idle', reason: 'too many' }] }))
  t.equal(cellsOf(report, 'sluice').at(-1), '**run 2: 3 failed: ECONNRESET**; backend full (1 of 2)')
  t.equal(cellsOf(report, 'nginx').at(-1), 'generator full')
  t.match(report, '| sniproxy | – | not installed |')
  t.match(report, 'Not measured: idle; too many.')
  t.match(report, '- run 2: sniproxy did not start\n    no such table')
})

void test('a noisy machine is told of', async (t) => {
  t.match(renderReport(result([download(1, 'sluice', { otherCores: 0.5 })])), 'used 0.50 cores meanwhile, up to 0.50: **a noisy machine**')
  t.notMatch(renderReport(result([download(1, 'sluice', {})])), 'noisy')
})

void test('a line of progress has what is compared', async (t) => {
  const [workload] = workloads
  if (workload === undefined) throw new Error('unreachable')
  t.equal(progressLine(download(1, 'nginx', { gigabytesPerSecond: 1.234, memoryMib: 5 }, { failure: 'lost' }), columnsOf[workload.spec.kind]), '1.23 GB/s · FAILED: lost')
})
