// The bench of checks, as it is called, in its smallest size.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

const mainFile = fileURLToPath(new URL('../../bench/health/main.ts', import.meta.url))

function benchHealth(...args: string[]) {
  return spawnSync(process.execPath, [mainFile, ...args], { encoding: 'utf8', timeout: 120_000 })
}

void test('checks have a cost, and a node that dies an end', { skip: process.platform !== 'linux' && 'it takes Linux' }, async (t) => {
  const { status, stdout, stderr } = benchHealth('--tiny')
  if (status !== 0) t.comment(stderr)
  t.equal(status, 0)
  t.match(stdout, /^\| 40 \| libc \| \d+ \| \d+\.\d % \| \d+\.\d \| 0 \|$/m)
  t.match(stdout, /^\| 40 \| node \| \d+ \| \d+\.\d % \| \d+\.\d \| 0 \|$/m)
  t.match(stdout, /^\| none \| \d+ \| 0 \| 0 \| /m)
  t.match(stdout, /^\| some \| \d+ \| \d+ \| 0 \| /m)
})

void test('a wrong option ends with 2, and help with 0', async (t) => {
  t.match(benchHealth('--nodes', '1'), { status: 2, stderr: /--nodes is "1"/ })
  t.match(benchHealth('--help'), { status: 0, stdout: /--targets/ })
})
