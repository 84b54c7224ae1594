// The benches of the tunnel, as they are called, in their smallest size and with Sluice alone: so that they never rot. What they
// measure here means nothing.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import type { MetricName } from '../../../bench/metrics.ts'
import type { TunnelBenchResult } from '../../../bench/tunnel/report.ts'
import type { SessionsResult } from '../../../bench/tunnel/sessions/session.ts'

const fileOf = (name: string): string => fileURLToPath(new URL(`../../../bench/tunnel/${name}`, import.meta.url))
/** That the bench of the egress starts in. */
const inNetwork = ['--map-root-user', '--net']

/** What a measurement must have. */
const expected: Readonly<Record<string, readonly MetricName[]>> = {
  'echo-64': ['requestsPerSecond', 'p50Us', 'p99Us', 'memoryMib'],
  'echo-1': ['requestsPerSecond', 'p50Us', 'p99Us'],
  'download': ['gigabytesPerSecond'],
  'upload': ['gigabytesPerSecond'],
  'open': ['connectionsPerSecond', 'p50Us'],
  'idle': ['memoryMib'],
  'download-20ms': ['megabytesPerSecond'],
  'upload-20ms': ['megabytesPerSecond'],
  'stalled-1': ['beforeP99Us', 'p99Us', 'newStreamMs'],
  'stalled-20': ['beforeP99Us', 'p99Us', 'newStreamMs'],
  'stalled-memory': ['stalledStreams', 'memoryMib'],
}

/** Of the egress's. */
const expectedOfEgress: Readonly<Record<string, readonly MetricName[]>> = {
  'echo-64': ['requestsPerSecond', 'cpuUsPerRequest'],
  'echo-1': ['requestsPerSecond', 'p50Us'],
  'download': ['gigabytesPerSecond'],
  'upload': ['gigabytesPerSecond'],
  'open': ['connectionsPerSecond'],
  'idle': ['memoryMib'],
  'stalled-1': ['beforeP99Us', 'p99Us', 'newStreamMs'],
  'log': ['beforeP99Us', 'p99Us', 'logMegabytesPerSecond', 'newStreamMs'],
  'pending': ['beforeP99Us', 'p99Us', 'answered504', 'slowestAnswerMs'],
}

function run(file: string, ...args: string[]) {
  return spawnSync(process.execPath, [fileOf(file), ...args], { encoding: 'utf8', timeout: 200_000 })
}

void test('every mode measures Sluice’s tunnel, and the counts of both ends agree', async (t) => {
  const directory = t.testdir()
  const [jsonFile, markdownFile] = [join(directory, 'result.json'), join(directory, 'result.md')]
  const { status, stderr, stdout } = run('main.ts', '--tiny', '--duration', '0.5', '--peers', 'sluice', '--round-trip', '20', '--json', jsonFile, '--markdown', markdownFile)
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  const { measurements, problems, workloads }: TunnelBenchResult = JSON.parse(readFileSync(jsonFile, 'utf8'))
  t.same(problems, [])
  t.same(measurements.map(({ workload, failure }) => ({ workload, failure })), Object.keys(expected).map((workload) => ({ workload, failure: undefined })))
  for (const { workload, metrics } of measurements) {
    for (const name of expected[workload] ?? []) t.ok(Number(metrics[name]) > 0, `${workload}: ${name} is ${metrics[name]}`)
  }
  t.equal(measurements.at(-1)?.metrics.stalledStreams, 20, 'so many readers have stopped')
  t.equal(readFileSync(markdownFile, 'utf8'), stdout, 'what is printed is what is written')
  for (const { title } of workloads) t.match(stdout, `## ${title}`)
})

const noNetwork = spawnSync('unshare', [...inNetwork, 'ip', 'link']).status === 0 ? false : 'it takes a network namespace: unshare and ip'

void test('every mode measures Sluice’s egress, and each dial to nowhere is answered', { skip: noNetwork }, async (t) => {
  const directory = t.testdir()
  const [jsonFile, markdownFile] = [join(directory, 'result.json'), join(directory, 'result.md')]
  const { status, stderr } = spawnSync('unshare', [...inNetwork, process.execPath, fileOf('../egress/main.ts'), '--tiny', '--duration', '0.5', '--peers', 'sluice', '--json', jsonFile, '--markdown', markdownFile], { encoding: 'utf8', timeout: 200_000 })
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  const { measurements, problems }: TunnelBenchResult = JSON.parse(readFileSync(jsonFile, 'utf8'))
  t.same(problems, [])
  t.same(measurements.map(({ workload, failure }) => ({ workload, failure })), Object.keys(expectedOfEgress).map((workload) => ({ workload, failure: undefined })))
  for (const { workload, metrics } of measurements) {
    for (const name of expectedOfEgress[workload] ?? []) t.ok(Number(metrics[name]) > 0, `${workload}: ${name} is ${metrics[name]}`)
  }
  t.match(measurements.at(-1)?.metrics, { answered504: 40, answeredOther: 0, closedUnanswered: 0, unanswered: 0 })
})

void test('sessions are up, and again after a restart, no more in any second than the gateway may let in', async (t) => {
  const jsonFile = join(t.testdir(), 'result.json')
  const { status, stderr, stdout } = run('sessions/main.ts', '--tiny', '--sessions', '30', '--handshake-rate', '10', '--timeout', '90', '--json', jsonFile)
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  const { enrolment, restart, emptyMib }: SessionsResult = JSON.parse(readFileSync(jsonFile, 'utf8'))
  t.ok(emptyMib > 0)
  for (const { attempts, sessionsInASecondMax } of [enrolment, restart]) {
    t.ok(attempts >= 30)
    t.ok(sessionsInASecondMax > 0 && sessionsInASecondMax <= 10, `${sessionsInASecondMax} within one second`)
  }
  t.ok(restart.allUpMs >= restart.readyMs && restart.readyMs > 0)
  t.match(stdout, '# 30 agents on one gateway')
})

void test('a wrong option ends with 2, and help with 0', async (t) => {
  for (const file of ['main.ts', 'sessions/main.ts', '../egress/main.ts']) {
    t.match(run(file, '--nothing'), { status: 2, stderr: /--nothing/ })
    t.match(run(file, '--help'), { status: 0, stdout: /Exit codes/ })
  }
  t.match(run('../egress/main.ts', '--tiny'), { status: 1, stderr: /a network of its own/ })
  t.match(run('main.ts', '--peers', 'nobody'), { status: 2, stderr: /there is no "nobody"/ })
})
