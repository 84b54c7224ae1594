// The bench of reloads, as it is called, in its smallest size; and what changes from version to version.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { probedName, routesAt, type VersionFacts } from '../../bench/reload/versions.ts'

const mainFile = fileURLToPath(new URL('../../bench/reload/main.ts', import.meta.url))
const facts: VersionFacts = { backendPorts: { echo: 1, source: 2, sink: 3 }, probePorts: [4, 5], hostnames: 1_004 }

function benchReload(...args: string[]) {
  return spawnSync(process.execPath, [mainFile, ...args], { encoding: 'utf8', timeout: 90_000 })
}

void test('each version changes one of a hundred tenants, others than the one before, and the probed one', async (t) => {
  const changedAt = (version: number): readonly string[] => {
    const before = routesAt(version - 1, facts)
    return routesAt(version, facts).flatMap(({ serverName, endpoint }, index) => endpoint === before[index]?.endpoint ? [] : serverName)
  }
  const [first, second] = [changedAt(1), changedAt(2)]
  for (const changed of [first, second, changedAt(101)]) {
    t.equal(changed.length, 11)
    t.equal(changed.at(-1), probedName)
  }
  t.same(first.filter((name) => second.includes(name)), [probedName])
})

void test('echoes are timed with and without a reload, and each reload is seen live', async (t) => {
  const { status, stdout, stderr } = benchReload('--tiny')
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  t.match(stdout, '# Reload of 1,000 tenants, 1 % changed')
  for (const row of ['without a reload', 'with a reload', '×']) t.match(stdout, new RegExp(`^\\| ${row} \\|.*\\d`, 'm'), row)
  t.match(stdout, /first new connection at the new endpoint \| \d+ \(\d+–\d+\) \| \d+, \d+ \|/)
  t.match(stdout, /the log's `ms` \| \d+ \(\d+–\d+\) \| \d+, \d+ \|/)
})

void test('a wrong option ends with 2, and help with 0', async (t) => {
  t.match(benchReload('--reloads', 'some'), { status: 2, stderr: /--reloads is "some"/ })
  t.match(benchReload('--help'), { status: 0, stdout: /--hostnames/ })
})
