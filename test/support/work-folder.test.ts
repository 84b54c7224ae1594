import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test } from 'tap'
import { createWorkFolder, removeLeftovers } from './work-folder.ts'

void test('work folders of dead processes are removed, and nothing else', async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'sluice-test-'))
  t.teardown(() => rm(parent, { recursive: true }))
  const dead = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  await once(dead, 'exit')
  for (const name of [`build-${dead.pid}-abcdef`, 'build-AbC123', 'builds']) await mkdir(join(parent, name))
  await writeFile(join(parent, `build-${dead.pid}-abcdef`, 'go.mod'), '')
  await writeFile(join(parent, 'kubectl'), '')
  const own = await createWorkFolder(parent)

  await removeLeftovers(parent)
  t.same((await readdir(parent)).toSorted((left, right) => left < right ? -1 : 1), [basename(own.path), 'builds', 'kubectl'])
  own.remove()
  t.same(new Set(await readdir(parent)), new Set(['builds', 'kubectl']))
  await removeLeftovers(join(parent, 'not-there'))
})
