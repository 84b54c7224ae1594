// The bench itself, as it is called, in its smallest size: so that it never rots. What it measures here means nothing.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import type { MetricName } from '../../bench/metrics.ts'
import type { BenchResult, Measurement } from '../../bench/result.ts'

const mainFile = fileURLToPath(new URL('../../bench/main.ts', import.meta.url))

/** What a measurement must have, of a relay and without one. */
const expected: Readonly<Record<string, readonly MetricName[]>> = {
  'echo-3': ['requestsPerSecond', 'p50Us', 'p99Us', 'p999Us'],
  'paced': ['requestsPerSecond', 'p50Us', 'p90Us', 'p99Us', 'p999Us', 'maxUs', 'generatorLateP50Us'],
  'connect': ['connectionsPerSecond', 'p50Us', 'p99Us'],
  'download': ['gigabytesPerSecond'],
  'upload': ['gigabytesPerSecond'],
  'idle': [],
}

function bench(...args: string[]) {
  return spawnSync(process.execPath, [mainFile, ...args], { encoding: 'utf8', timeout: 180_000 })
}

void test('every mode measures every target, and the counts of both ends agree', async (t) => {
  const directory = t.testdir()
  const [jsonFile, markdownFile, plotFile] = [join(directory, 'result.json'), join(directory, 'result.md'), join(directory, 'result.svg')]
  const { status, stderr, stdout } = bench('--tiny', '--duration', '0.5', '--connections', '3', '--json', jsonFile, '--markdown', markdownFile, '--plot', plotFile)
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  const result: BenchResult = JSON.parse(readFileSync(jsonFile, 'utf8'))
  t.same(result.problems, [])
  t.match(result.targets.map(({ name }) => name), ['direct', 'sluice'], 'peers follow, as far as they are installed')
  t.equal(result.targets.length + result.absent.length, 10)
  for (const { name } of result.targets) {
    for (const [workload, metrics] of Object.entries(expected)) {
      const found = result.measurements.filter((each) => each.target === name && each.workload === workload)
      t.equal(found.length, name === 'direct' && workload === 'idle' ? 0 : 1, `${name} ${workload} was measured once`)
      for (const measurement of found) t.same(faultsOf(measurement, metrics), [], `${name} ${workload} has its figures`)
    }
  }
  t.equal(readFileSync(markdownFile, 'utf8'), stdout, 'what is printed is what is written')
  t.match(readFileSync(plotFile, 'utf8'), /^<svg [^]*3 connections: direct p50 \d+ µs and p99 \d+ µs, sluice p50 [^]*<\/svg>\n$/)
  for (const { title } of result.workloads) t.match(stdout, `## ${title}`)
})

void test('relays may have cores to themselves', { skip: availableParallelism() === 1 ? 'takes two cores' : false }, async (t) => {
  const { status, stderr, stdout } = bench('--tiny', '--modes', 'echo', '--connections', '1', '--peers', 'direct,sluice', '--relay-cores', '1', '--json', '/dev/null', '--markdown', '/dev/null', '--plot', '/dev/null')
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  t.match(stdout, 'Relays had core 1 to themselves.')
})

function faultsOf({ metrics, failure, target }: Measurement, positive: readonly MetricName[]): readonly string[] {
  const ofRelay: readonly MetricName[] = target === 'direct' ? [] : ['relayCores', 'memoryMib']
  return [
    ...(failure === undefined ? [] : [failure]),
    ...positive.filter((name) => !(Number(metrics[name]) > 0)).map((name) => `${name} is ${metrics[name]}`),
    ...ofRelay.filter((name) => !Number.isFinite(metrics[name])).map((name) => `${name} is ${metrics[name]}`),
    ...Object.entries(metrics).filter(([, value]) => !Number.isFinite(value)).map(([name, value]) => `${name} is ${value}`),
  ]
}

void test('each number of hostnames is a target, and the names that are used are found among them', async (t) => {
  const jsonFile = join(t.testdir(), 'result.json')
  const { status, stderr } = bench('--tiny', '--modes', 'connect', '--hostnames', '3,100', '--peers', 'sluice,haproxy,nginx,sniproxy,traefik', '--json', jsonFile, '--markdown', '/dev/null')
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  const { targets, measurements }: BenchResult = JSON.parse(readFileSync(jsonFile, 'utf8'))
  t.match(targets.map(({ name }) => name), ['sluice-3', 'sluice-100'])
  t.same(measurements.map(({ target, failure }) => ({ target, failure })), targets.map(({ name }) => ({ target: name, failure: undefined })))
})

void test('a workload that does not fit is told of and left out', async (t) => {
  const { status, stderr } = bench('--tiny', '--modes', 'idle', '--idle-connections', '100000', '--peers', 'direct')
  t.equal(status, 1)
  t.match(stderr, /idle is left out: a relay of 100,000 connections needs some 200,100 descriptors, and the limit is [\d,∞]+ \(ulimit -n\)/)
})

void test('a wrong option ends with 2, and help with 0', async (t) => {
  t.match(bench('--peers', 'nobody'), { status: 2, stderr: /there is no "nobody"/ })
  t.match(bench('--help'), { status: 0, stdout: /Examples/ })
})
