// The thread that reads the configuration: what it remembers between loads, and what becomes of one that fails.

import { execFileSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { ConfigThread, type ConfigUpdate } from '../../src/gateway/config-thread.ts'

interface Started {
  readonly thread: ConfigThread
  readonly file: string
  readonly write: (tenants: Readonly<Record<string, number>>) => void
}

function start(t: Test): Started {
  const file = join(t.testdir(), 'sluice.yaml')
  const thread = new ConfigThread({ file, env: {}, onDeath: (error) => t.fail(error.message) })
  t.teardown(() => thread.close())
  const write = (tenants: Readonly<Record<string, number>>): void => {
    const items = Object.entries(tenants).map(([name, port]) => `  - { name: ${name}, hostnames: [${name}.example.com], apiServer: { endpoints: [10.1.0.1:${port}] } }\n`)
    writeFileSync(file, `listeners: [{ address: 127.0.0.1:6443 }]\ntenants:\n${items.join('')}`)
  }
  return { thread, file, write }
}

function changeOf({ change, tenantCount }: ConfigUpdate): unknown {
  return { changed: change.tenants.map(({ name }) => name).toSorted(), removed: change.removedTenants, of: tenantCount }
}

void test('a load tells what differs from the configuration that was committed last', async (t) => {
  const { thread, write } = start(t)
  write({ acme: 1, globex: 1 })
  t.same(changeOf(await thread.load()), { changed: ['acme', 'globex'], removed: 'all-others', of: 2 })
  t.same(changeOf(await thread.load()), { changed: ['acme', 'globex'], removed: 'all-others', of: 2 }, 'not committed: nothing is running yet')
  thread.commit()
  t.same(changeOf(await thread.load()), { changed: [], removed: [], of: 2 })
  write({ acme: 2, initech: 1 })
  t.same(changeOf(await thread.load()), { changed: ['acme', 'initech'], removed: ['globex'], of: 2 })
  write({ acme: 1, globex: 1, initech: 1 })
  t.same(changeOf(await thread.load()), { changed: ['initech'], removed: [], of: 3 }, 'what could not be bound was not committed')
  thread.commit()
  t.same(changeOf(await thread.load()), { changed: [], removed: [], of: 3 })
})

void test('a file with mistakes is told of, and the next change is still one of what is running', async (t) => {
  const { thread, file, write } = start(t)
  write({ acme: 1 })
  await thread.load()
  thread.commit()
  writeFileSync(file, 'listeners: [{ address: nowhere }]\n')
  await t.rejects(thread.load(), { code: 'CONFIG_INVALID', problems: [{ path: 'listeners[0].address', line: 1 }] })
  write({ acme: 1, globex: 1 })
  t.same(changeOf(await thread.load()), { changed: ['globex'], removed: [], of: 2 })
})

void test('thousands of tenants come in portions, and all of them', async (t) => {
  const { thread, write } = start(t)
  const names = Array.from({ length: 2_500 }, (_, index) => `t${index}`)
  write(Object.fromEntries(names.map((name) => [name, 1])))
  t.same(changeOf(await thread.load()), { changed: names.toSorted(), removed: 'all-others', of: 2_500 })
})

void test('a load that takes too long is given up, and the next one is whole', async (t) => {
  const { thread, file, write } = start(t)
  write({ acme: 1 })
  await thread.load()
  thread.commit()
  rmSync(file)
  execFileSync('mkfifo', [file])
  await t.rejects(thread.load(100), { message: `loading ${file} took over 100 ms` })
  // The thread waits for a writer, and can't end before there is one.
  closeSync(openSync(file, 'w'))
  rmSync(file)
  write({ acme: 1 })
  t.same(changeOf(await thread.load()), { changed: ['acme'], removed: 'all-others', of: 1 })
})

void test('a load that is under way when the thread is closed tells so', async (t) => {
  const { thread, write } = start(t)
  write({ acme: 1 })
  const loading = thread.load()
  thread.close()
  await t.rejects(loading, { message: 'the gateway has stopped' })
})

void test('tenants of the store are merged without a look at the file, and a thread that follows one that was given up knows them', async (t) => {
  const { file, thread, write } = start(t)
  write({ acme: 1 })
  await thread.load()
  thread.commit()
  writeFileSync(file, 'no: configuration')
  thread.changeStored([{ name: 'globex', text: '{ name: globex, hostnames: [globex.example.com], apiServer: { endpoints: [10.1.0.1:1] } }' }, { name: 'wrong', text: 'x' }])
  const update = await thread.refresh()
  t.same(changeOf(update), { changed: ['globex'], removed: [], of: 2 })
  t.match(update.refused, [{ file: 'tenants/wrong' }])
  await t.rejects(thread.load(0), /took over 0 ms/)
  write({ acme: 1 })
  const whole = await thread.load()
  t.same(changeOf(whole), { changed: ['acme', 'globex'], removed: 'all-others', of: 2 })
  t.match(whole.refused, [{ file: 'tenants/wrong' }])
})
