import { test } from '../../support/linux-only.ts'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const program = fileURLToPath(new URL('out-of-descriptors.ts', import.meta.url))

void test('out of descriptors, accepting pauses, is counted and told of, and begins again by itself', async (t) => {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'ulimit -n 100 && exec "$0" "$1"', process.execPath, program])
  const { recovered, acceptErrors, acceptPauses, failure, failures } = JSON.parse(stdout) as Record<string, unknown>
  t.equal(recovered, true)
  t.ok(Number(acceptPauses) > 0)
  t.equal(acceptErrors, acceptPauses)
  t.equal(failures, acceptPauses)
  t.match(failure, /^accepting pauses for \d+ ms, on 127\.0\.0\.1:0: accept4: EMFILE/)
})
