import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { FileStore } from '../../../src/state/file/file-store.ts'
import { mirror } from '../../../src/state/mirror.ts'
import { storeSuite } from '../../compliance/store-suite.ts'
import { until } from '../../support/sockets.ts'
import { pausedHolder } from '../paused-holder.ts'

storeSuite('file store', (t) => {
  const directory = t.testdir()
  return { open: async () => await FileStore.open(join(directory, 'state')) }
})

function versionsOf(directory: string, key: string): string[] {
  return readdirSync(join(directory, 'entries', `${key}@`)).toSorted()
}

void test('nobody else may read it, and one that others may write is refused', async (t) => {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  await store.put('tokens/a', 'secret', 0)
  t.equal(statSync(directory).mode & 0o777, 0o700)
  t.equal(statSync(join(directory, 'entries/tokens/a@/00000001')).mode & 0o777, 0o600)
  chmodSync(directory, 0o770)
  await t.rejects(FileStore.open(directory), { code: 'STORE_UNAVAILABLE', message: /may be written by others \(mode 770\).*expected mode 700/ })
})

void test('a path that is no directory, and a layout of another version, are refused with the path', async (t) => {
  const folder = t.testdir({ file: 'x' })
  await t.rejects(FileStore.open(join(folder, 'file')), { code: 'STORE_UNAVAILABLE', message: /file can't hold state/ })
  const directory = join(folder, 'state')
  await FileStore.open(directory)
  writeFileSync(join(directory, 'version'), '2\n')
  await t.rejects(FileStore.open(directory), { code: 'STORE_UNAVAILABLE', message: /version says "2".*expected 1/ })
})

void test('a draft that a crash left at any byte is never seen, and goes after an hour', async (t) => {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  await store.put('a', 'one', 0)
  const whole = '=a value that was being written'
  for (let bytes = 0; bytes <= whole.length; bytes++) writeFileSync(join(directory, 'drafts', `draft-${bytes}`), whole.slice(0, bytes))
  t.match(await (await FileStore.open(directory)).get('a'), { value: 'one', revision: 1 })
  t.equal(readdirSync(join(directory, 'drafts')).length, whole.length + 1, 'its writer may still live')
  for (const name of readdirSync(join(directory, 'drafts'))) utimesSync(join(directory, 'drafts', name), 0, 0)
  await FileStore.open(directory)
  t.equal(readdirSync(join(directory, 'drafts')).length, 0)
})

void test('a crash between a version and the emptying of the one before it loses nothing', async (t) => {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  await store.put('a', 'one', 0)
  writeFileSync(join(directory, 'entries/a@/00000002'), '=two')
  t.match(await store.get('a'), { value: 'two', revision: 2 })
  await store.put('a', 'three', 2)
  t.equal(statSync(join(directory, 'entries/a@/00000001')).size, 0)
})

void test('a number is not given twice, and old ones don’t pile up', async (t) => {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  for (let revision = 0; revision < 300; revision++) await store.put('a', String(revision), revision)
  const versions = versionsOf(directory, 'a')
  t.equal(versions.length, 256)
  t.equal(versions.at(-1), '00000300')
  t.equal(versions.filter((name) => statSync(join(directory, 'entries/a@', name)).size > 0).length, 1)
})

void test('a feed of changes that grew long is put aside, and watchers follow', async (t) => {
  const directory = join(t.testdir(), 'state')
  const [store, other] = [await FileStore.open(directory), await FileStore.open(directory)]
  t.teardown(() => store.close())
  const seen: string[] = []
  await mirror(store, 'a', { put: ({ key }) => seen.push(key), removed: () => undefined })
  await other.put('a/1', 'x', 0)
  await until(() => seen.length === 1)
  truncateSync(join(directory, 'changes'), 300 * 1024)
  await other.put('a/2', 'x', 0)
  await until(() => existsSync(join(directory, 'changes.old')))
  await other.put('a/3', 'x', 0)
  await until(() => seen.includes('a/3'))
  t.equal(seen.at(-1), 'a/3')
})

void test('a watcher that has slept through a whole feed reads everything again', async (t) => {
  const directory = join(t.testdir(), 'state')
  const [store, other] = [await FileStore.open(directory), await FileStore.open(directory)]
  t.teardown(() => store.close())
  const seen = new Set<string>()
  await mirror(store, 'a', { put: ({ key }) => seen.add(key), removed: () => undefined })
  // Nobody polls as long as this thread does not rest; each write is a feed of its own.
  for (const key of ['a/1', 'a/2', 'a/3', 'a/4']) {
    writeVersionSync(directory, key)
    writeFileSync(join(directory, 'changes'), `${key}\n`.padEnd(300 * 1024, '\n'))
    renameSync(join(directory, 'changes'), join(directory, 'changes.old'))
  }
  await other.put('a/5', 'x', 0)
  await until(() => seen.size === 5)
  t.same([...seen].toSorted(), ['a/1', 'a/2', 'a/3', 'a/4', 'a/5'])
})

function writeVersionSync(directory: string, key: string): void {
  mkdirSync(join(directory, 'entries', `${key}@`), { recursive: true })
  writeFileSync(join(directory, 'entries', `${key}@/00000001`), '=x')
}

void test('a holder that was paused for too long finds that its lease has run out, and what it puts then is seen by nobody', async (t) => {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  t.teardown(() => store.close())
  await pausedHolder(t, store, { kind: 'file', directory })
})

void test('a read-only directory is an error that says so, and nothing has changed', { skip: process.getuid?.() === 0 ? 'root may write anywhere' : false }, async (t) => {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  chmodSync(join(directory, 'drafts'), 0o500)
  await t.rejects(store.put('a', 'x', 0), { code: 'EACCES' })
  chmodSync(join(directory, 'drafts'), 0o700)
})

void test('processes that are killed at any moment lose nothing that they had acknowledged', async (t) => {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  const program = fileURLToPath(new URL('writer.ts', import.meta.url))
  const acknowledged = new Map<string, number>()
  let total = 0
  const writer = async (key: string, lifeMs: number): Promise<void> => {
    const child = spawn(process.execPath, [program, directory, key], { stdio: ['ignore', 'pipe', 'inherit'] })
    let told = 0
    createInterface({ input: child.stdout }).on('line', (line) => {
      told += 1
      total += 1
      acknowledged.set(key, Math.max(acknowledged.get(key) ?? 0, Number(line)))
    })
    await until(() => told >= 3)
    await delay(lifeMs)
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  for (let round = 0; round < 3; round++) {
    // Two on one key, who are in each other's way, and one beside them.
    await Promise.all([writer('shared', 50 + 31 * round), writer('shared', 90 + 17 * round), writer('own', 70 + 7 * round)])
    for (const [key, number] of acknowledged) {
      const found = Number((await store.get(key))?.value)
      // One more may have been written when the kill came before it was told.
      t.ok(found >= number && found <= number + 2, `${key}: ${number} acknowledged, ${found} found`)
    }
  }
  t.ok(total > 20, `${total} writes`)
})
