// The bench of schedulers, as it is called, in its smallest size.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { schedulerKinds } from '../../src/core/balance/scheduler.ts'

const mainFile = fileURLToPath(new URL('../../bench/balance/main.ts', import.meta.url))

function benchBalance(...args: string[]) {
  return spawnSync(process.execPath, [mainFile, ...args], { encoding: 'utf8', timeout: 60_000 })
}

void test('each scheduler has a cost and a distribution, and mh its moves', async (t) => {
  const { status, stdout, stderr } = benchBalance('--tiny')
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  for (const kind of schedulerKinds) {
    t.match(stdout, new RegExp(`^\\| ${kind} \\| \\d+ \\(\\d+\\.\\d B\\) \\| \\d+ \\(`, 'm'), `${kind}: cost`)
    t.match(stdout, new RegExp(`^\\| ${kind} \\| \\d\\.\\d\\d–\\d\\.\\d\\d \\|`, 'm'), `${kind}: distribution`)
  }
  t.match(stdout, /^\| 1,000 \| 131,071 \| \d+\.\d\d \| \d\.\d\d \|$/m)
})

void test('a wrong option ends with 2, and help with 0', async (t) => {
  t.match(benchBalance('--endpoints', '1'), { status: 2, stderr: /--endpoints is "1"/ })
  t.match(benchBalance('--help'), { status: 0, stdout: /--connections/ })
})
