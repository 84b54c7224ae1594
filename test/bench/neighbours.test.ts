// The bench of neighbours as it is called, in its smallest size: so that it never rots, and leaves nothing behind. Tables of so few hosts
// lose no entry in so short a time, so these figures are exact.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { conclude, type Reading } from '../../bench/neighbours/conclude.ts'
import type { NeighboursResult } from '../../bench/neighbours/report.ts'
import { processTree } from '../../bench/proc.ts'
import { until } from '../support/sockets.ts'

const mainFile = fileURLToPath(new URL('../../bench/neighbours/main.ts', import.meta.url))
const ownNetwork = ['--map-root-user', '--net']
const [nodes, apiServers] = [4, 3]

/** Why it can not be built here. */
function cannotBuild(): string | false {
  const { status, error, stderr } = spawnSync('unshare', [...ownNetwork, 'sh', '-c', 'nft list ruleset && ip link add bridge type bridge && setpriv --version'], { encoding: 'utf8' })
  return status === 0 ? false : `no namespaces with ip, nft and setpriv: ${error?.message ?? stderr}`
}

const skip = cannotBuild()

function bench(...args: string[]) {
  return spawnSync('unshare', [...ownNetwork, process.execPath, mainFile, ...args], { encoding: 'utf8', timeout: 90_000 })
}

void test('all nodes call all API servers: directly each knows each, through the gateway each knows the gateway', { skip }, async (t) => {
  const directory = t.testdir()
  const [jsonFile, markdownFile, plotFile] = [join(directory, 'result.json'), join(directory, 'result.md'), join(directory, 'result.svg')]
  const { status, stderr, stdout } = bench('--tiny', '--json', jsonFile, '--markdown', markdownFile, '--plot', plotFile)
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  const { measurements }: NeighboursResult = JSON.parse(readFileSync(jsonFile, 'utf8'))
  t.same(measurements.map(({ target, failure }) => ({ target, failure })), [{ target: 'direct', failure: undefined }, { target: 'sluice', failure: undefined }])
  const [direct, gateway] = measurements
  t.match(direct?.metrics, { nodeEntries: apiServers, apiServerEntries: nodes, gatewayEntries: 0, entries: 2 * nodes * apiServers })
  t.match(gateway?.metrics, { nodeEntries: 1, apiServerEntries: 1, gatewayEntries: nodes + apiServers, entries: 2 * (nodes + apiServers) })
  // A slow machine may ask twice.
  const [ofDirect, ofGateway] = measurements.map(({ readings }) => readings.at(-1))
  t.ok(Number(ofDirect?.broadcasts) >= nodes * apiServers, `${ofDirect?.broadcasts} broadcasts`)
  t.ok(Number(ofGateway?.broadcasts) >= nodes + apiServers, `${ofGateway?.broadcasts} broadcasts`)
  for (const reading of [ofDirect, ofGateway]) t.equal(reading?.copies, (nodes + apiServers) * Number(reading?.broadcasts), 'each other host and the gateway’s gets each')
  t.equal(readFileSync(markdownFile, 'utf8'), stdout, 'what is printed is what is written')
  t.match(readFileSync(plotFile, 'utf8'), /^<svg [^]*through the gateway, at the end: 14<[^]*<\/svg>\n$/)
})

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  void test(`${signal} ends all of it, the gateway too, and with them their namespaces, which nothing else has`, { skip }, async (t) => {
    const child = spawn('unshare', [...ownNetwork, process.execPath, mainFile, '--tiny', '--runs', '100'], { stdio: 'ignore', env: { ...process.env, TMPDIR: t.testdir() } })
    t.teardown(() => child.kill('SIGKILL'))
    const { pid } = child
    if (pid === undefined) throw new Error('not started')
    let gateway: number | undefined
    await until(() => (gateway = processTree(pid).find(isGateway)) !== undefined)
    child.kill(signal)
    await once(child, 'exit')
    await until(() => !existsSync(`/proc/${gateway}`))
    t.pass()
  })
}

function isGateway(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0gateway\0')
  } catch {
    return false
  }
}

void test('a wrong option ends with 2, help with 0, and a network that somebody uses with 1', { skip }, async (t) => {
  t.match(bench('--nothing'), { status: 2, stderr: /--nothing/ })
  t.match(bench('--nodes', '300'), { status: 2, stderr: /from 1 to 250/ })
  t.match(bench('--intervals', '60'), { status: 2, stderr: /shorter than --duration/ })
  t.match(bench('--help'), { status: 0, stdout: /Exit codes/ })
  t.match(spawnSync(process.execPath, [mainFile, '--tiny'], { encoding: 'utf8' }), { status: 1, stderr: /a network of its own: npm run bench:neighbours/ })
  t.match(bench('--tiny', '--nodes', '250', '--api-servers', '250'), { status: 1, stderr: /gc_thresh2=\d+/ }, 'a table that is too small is told, and what to do')
})

const readings: readonly Reading[] = [[0, 0, 0], [900, 3, 7], [2_000, 6, 11], [3_000, 9, 12], [6_000, 15, 18]].map(([atMs = 0, calls = 0, broadcasts = 0]) => ({
  atMs, calls, broadcasts, copies: 3 * broadcasts, probes: 0, nodeEntries: 2, apiServerEntries: 1, gatewayEntries: 0, entries: broadcasts,
}))
const allAnswered = { due: 15, answered: 15, failed: {} }

void test('figures are of the first round, to the reading behind it, and of the time afterwards', async (t) => {
  const { metrics, caveats, failure } = conclude(readings, 6, allAnswered)
  t.match(metrics, { firstBroadcasts: 12, broadcastsPerMinute: 120, copiesPerMinute: 360, entries: 18 })
  t.same([caveats, failure], [[], undefined])
})

void test('a call that fails is a failure, and calls that were not made are told', async (t) => {
  t.match(conclude(readings, 6, { due: 20, answered: 13, failed: { 'read ECONNRESET': 2 } }), { failure: 'of 15 calls failed 2 × read ECONNRESET', caveats: ['15 calls of 20 that were due'] })
  for (const pairs of [15, 16]) t.match(conclude(readings, pairs, allAnswered), { failure: /too short/ }, `a round of ${pairs}`)
})
