// The bench of storms as it is called, in its smallest size, so that it never rots; and when its clients come again.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { type Failure, nextTry, noTries } from '../../bench/storm/client-go.ts'
import { attackFigures, stormFigures } from '../../bench/storm/conclude.ts'
import type { StormResult } from '../../bench/storm/report.ts'
import { crowdShares, stormRoutes } from '../../bench/storm/tenants.ts'
import { createLatencyHistogram } from '../../bench/load/tally.ts'

const mainFile = fileURLToPath(new URL('../../bench/storm/main.ts', import.meta.url))

function benchStorm(...args: string[]) {
  return spawnSync(process.execPath, [mainFile, ...args], { encoding: 'utf8', timeout: 120_000 })
}

/** @returns waits between tries that all end like this */
function waits(failure: Failure, tries: number, random: number): readonly number[] {
  let state = noTries
  return Array.from({ length: tries }, () => {
    const { tries: next, afterMs } = nextTry(state, failure, random)
    state = next
    return afterMs
  })
}

void test('who gets an alert, no answer or no connection waits twice as long each time, up to half a minute', async (t) => {
  for (const failure of ['alert', 'timeout', 'refused'] as const) {
    t.same(waits(failure, 8, 0), [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000])
    t.same(waits(failure, 2, 0.5), [1_200, 2_400], 'and half as long again, with jitter')
  }
})

void test('who is reset sends his request again each second, ten times, before he waits', async (t) => {
  for (const failure of ['reset', 'closed'] as const) {
    t.same(waits(failure, 23, 0), [...Array.from({ length: 10 }, () => 1_000), 800, ...Array.from({ length: 10 }, () => 1_000), 1_600, 1_000])
  }
})

void test('tenants are alike, and each has its clients', async (t) => {
  const shares = crowdShares({ clients: 100, tenants: 7 })
  t.equal(shares.reduce((sum, { clients }) => sum + clients, 0), 100)
  t.ok(shares.every(({ clients }) => clients === 14 || clients === 15))
  t.equal(new Set(stormRoutes({ clients: 100, tenants: 7 }, { steady: 1, crowd: 2 }).map(({ serverName }) => serverName)).size, 7 + 2)
})

void test('figures are of all clients, and one that never came in is a failure', async (t) => {
  const failures = { reset: 2, closed: 1, alert: 4, timeout: 5, refused: 6 }
  const { figures, failure } = stormFigures({ inAfterMs: Float64Array.from({ length: 200 }, (_, index) => 200 - index), failures, wrong: 0 })
  t.same([figures, failure], [{ halfInMs: 100, mostInMs: 198, allInMs: 200, alerts: 4, resets: 3, timeouts: 11 }, undefined])
  t.match(stormFigures({ inAfterMs: Float64Array.of(1, Infinity, 2), failures, wrong: 0 }).failure, '1 clients never came in')
  t.match(stormFigures({ inAfterMs: Float64Array.of(1), failures, wrong: 3 }).failure, '3 clients were ended')
  t.same(attackFigures({ begun: 7, answered: 3, newcomers: createLatencyHistogram(), newcomersFailed: 1 }), { attackers: 7, attackersAnswered: 3, newcomersFailed: 1 })
})

void test('a storm and an attack are measured directly and through the gateway, and all clients come in', async (t) => {
  const directory = t.testdir()
  const [jsonFile, markdownFile, plotFile] = [join(directory, 'result.json'), join(directory, 'result.md'), join(directory, 'result.svg')]
  const { status, stderr, stdout } = benchStorm('--tiny', '--peers', 'direct,sluice,sluice-rate', '--json', jsonFile, '--markdown', markdownFile, '--plot', plotFile)
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  const { measurements }: StormResult = JSON.parse(readFileSync(jsonFile, 'utf8'))
  t.same(measurements.map(({ workload, target, failure }) => [workload, target, failure]), [
    ['storm', 'direct', undefined], ['storm', 'sluice', undefined], ['storm', 'sluice-rate', undefined], ['attack', 'direct', undefined], ['attack', 'sluice', undefined],
  ])
  for (const { metrics, inAfterMs } of measurements.filter(({ workload }) => workload === 'storm')) {
    t.equal(inAfterMs?.length, 60)
    t.ok(Number.isFinite(metrics.allInMs) && Number(metrics.timesP99) > 0)
  }
  for (const { metrics } of measurements.filter(({ workload }) => workload === 'attack')) t.match(metrics, { newcomersFailed: 0 })
  const [ofDirect, ofGateway] = measurements.filter(({ workload }) => workload === 'attack').map(({ metrics }) => metrics.attackersAnswered ?? 0)
  t.ok(Number(ofDirect) > Number(ofGateway), 'who comes too often is not let in')
  t.equal(readFileSync(markdownFile, 'utf8'), stdout, 'what is printed is what is written')
  t.match(readFileSync(plotFile, 'utf8'), /^<svg [^]*sluice: all in after [^]*<\/svg>\n$/)
})

void test('a wrong option ends with 2, and help with 0', async (t) => {
  t.match(benchStorm('--modes', 'calm'), { status: 2, stderr: /there is no "calm"/ })
  t.match(benchStorm('--clients', '1'), { status: 2, stderr: /from 3 to/ })
  t.match(benchStorm('--help'), { status: 0, stdout: /client-go/ })
})
