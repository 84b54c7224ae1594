import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { FileWatcher } from '../../src/gateway/file-watcher.ts'
import { until } from '../support/sockets.ts'

const lookIntervalMs = 200
/** Longer than a change needs to be told of. */
const tellMsMax = 4 * lookIntervalMs

void test('each way in which a file changes is told of once', async (t) => {
  const directory = t.testdir({ 'sluice.yaml': 'a' })
  const file = join(directory, 'sluice.yaml')
  let changes = 0
  const watcher = new FileWatcher({ file, lookIntervalMs, onChange: () => {
    changes += 1
  } })
  t.teardown(() => watcher.close())
  const told = async (what: string, change: () => void): Promise<void> => {
    const before = changes
    change()
    await until(() => changes > before)
    t.equal(changes, before + 1, what)
  }
  await told('written in place', () => writeFileSync(file, 'bb'))
  await told('renamed over', () => {
    writeFileSync(`${file}.new`, 'ccc')
    renameSync(`${file}.new`, file)
  })
  await told('removed and made again', () => {
    rmSync(file)
    writeFileSync(file, 'dddd')
  })
  // As the kubelet swaps a ConfigMap: sluice.yaml ▶ ..data/sluice.yaml, ..data ▶ a folder for each version.
  for (const version of ['v1', 'v2']) {
    mkdirSync(join(directory, version))
    writeFileSync(join(directory, version, 'sluice.yaml'), version)
  }
  await told('replaced by a link', () => {
    symlinkSync('v1', join(directory, '..data'))
    rmSync(file)
    symlinkSync(join('..data', 'sluice.yaml'), file)
  })
  await told('its link’s folder swapped', () => {
    symlinkSync('v2', join(directory, '..data_tmp'))
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
  })
})

void test('a file that is still being written, has gone, or is being loaded anyway is not told of', async (t) => {
  const file = join(t.testdir({ 'sluice.yaml': 'a' }), 'sluice.yaml')
  let changes = 0
  const watcher = new FileWatcher({ file, lookIntervalMs, onChange: () => {
    changes += 1
  } })
  t.teardown(() => watcher.close())
  for (let length = 2; length < 50; length++) {
    writeFileSync(file, 'x'.repeat(length))
    await delay(lookIntervalMs / 10)
  }
  t.equal(changes, 0, 'never at rest')
  watcher.loading()
  await delay(tellMsMax)
  t.equal(changes, 0, 'loaded for another reason')
  rmSync(file)
  await delay(tellMsMax)
  t.equal(changes, 0, 'gone')
})
