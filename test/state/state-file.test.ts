// An export of a store, and what an import refuses.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type Test } from 'tap'
import { FileStore } from '../../src/state/file/file-store.ts'
import { hasUnfinishedImport, importState, readStateFile, stateLines, type StateFile } from '../../src/state/state-file.ts'
import type { Store } from '../../src/state/store.ts'

async function storeWith(t: Test, name: string, entries: Readonly<Record<string, string>> = {}): Promise<Store> {
  if (!existsSync(t.testdirName)) t.testdir()
  const store = await FileStore.open(join(t.testdirName, name))
  t.teardown(() => store.close())
  for (const [key, value] of Object.entries(entries)) await store.put(key, value, 0)
  return store
}

const some = { 'nodes/acme/1': '{"name":"ü\\u0000"}', 'nodes/acme/2': '', 'tokens/acme/1': '{}' }

async function exported(store: Store): Promise<string> {
  return [...stateLines(await store.snapshot())].join('')
}

async function read(text: string): Promise<StateFile> {
  return await readStateFile(Readable.from([text]))
}

void test('what is exported and imported is the same, and only what stays', async (t) => {
  const [from, to] = [await storeWith(t, 'from', { ...some, 'nodes/acme/gone': 'x' }), await storeWith(t, 'to')]
  await from.remove('nodes/acme/gone', 1)
  const lease = await from.lease({ ttlMs: 10_000, lost: (why) => t.fail(why) })
  await lease.put('agents/acme/1', 'x')
  const text = await exported(from)
  t.equal(text.split('\n')[0], '{"sluice":"state","format":1,"counts":{"nodes":2,"tokens":1}}')
  t.match(text.split('\n').at(-2), /^\{"end":3,"sha256":"[0-9a-f]{64}"\}$/)
  await importState(to, await read(text))
  t.equal(await exported(to), text)
  t.same(Object.fromEntries((await to.snapshot()).map(({ key, value }) => [key, value])), some)
  t.equal(await hasUnfinishedImport(to), false)
  await lease.close()
})

void test('a file that was cut anywhere is refused', async (t) => {
  const text = await exported(await storeWith(t, 'from', some))
  const lastLine = text.lastIndexOf('{"end"')
  for (let at = 0; at < text.length - 1; at++) {
    await t.rejects(read(text.slice(0, at)), { code: 'STATE_FILE', message: at < 10 || at > lastLine ? /./ : /cut|line \d/ }, `at ${at}`)
  }
  t.equal((await read(text.slice(0, -1))).entries.length, 3, 'but for the end of its last line')
})

void test('what is wrong with a file is told with its line', async (t) => {
  const lines = [...stateLines(Object.entries(some).map(([key, value]) => ({ key, value })))]
  const withLine = (index: number, line: string): string => lines.with(index, `${line}\n`).join('')
  const signed = (changed: readonly string[]): string => [...changed, `${JSON.stringify({ end: changed.length - 1, sha256: createHash('sha256').update(changed.join('')).digest('hex') })}\n`].join('')
  const cases: readonly (readonly [text: string, message: RegExp])[] = [
    ['', /^it was cut: it ends after line 0/],
    ['hello\n', /^line 1: this is no export of a state/],
    [withLine(0, '{"sluice":"state","format":2,"counts":{}}'), /^line 1: format 2 is of another version of Sluice; expected 1/],
    [withLine(1, '{"key":"nodes/acme/1","value":"other"}'), /^line 5: the lines before have the SHA-256 .*: the file was changed/],
    [withLine(1, '{"key":"nodes/../1","value":""}'), /^line 2: "nodes\/\.\.\/1" is no key/],
    [withLine(2, '{"key":"nodes/acme/1","value":""}'), /^line 3: nodes\/acme\/1 does not come after nodes\/acme\/1; expected the keys in order/],
    [withLine(2, '{"key":1}'), /^line 3: expected \{"key":…,"value":…\}/],
    [lines.toSpliced(2, 1).join(''), /^line 4: 3 entries were exported, and 2 are here/],
    [`${lines.join('')}${lines.join('')}`, /^line 6: there is more behind the last line/],
    [signed(['{"sluice":"state","format":1,"counts":{"nodes":2}}\n', '{"key":"nodes/a","value":""}\n']), /^line 1: the counts \{"nodes":2\} are not those of the entries, \{"nodes":1\}/],
  ]
  for (const [text, message] of cases) await t.rejects(read(text), { code: 'STATE_FILE', message })
})

void test('a store that is not empty is refused, and told what it has', async (t) => {
  const text = await exported(await storeWith(t, 'from', some))
  const to = await storeWith(t, 'to', { 'tokens/globex/1': 'x', 'tokens/globex/2': 'x' })
  await t.rejects(importState(to, await read(text)), { code: 'STATE_FILE', message: /^the store is not empty: it has 2 tokens, tokens\/globex\/1 for one; expected an empty directory or prefix$/ })
  t.equal((await to.snapshot()).length, 2)
  t.equal(await hasUnfinishedImport(to), false)
})

void test('an import that was interrupted is told of, and run again with the same file only', async (t) => {
  const text = await exported(await storeWith(t, 'from', some))
  const file = await read(text)
  const to = await storeWith(t, 'to', { 'imports/unfinished': file.sha256, 'nodes/acme/2': '' })
  t.equal(await hasUnfinishedImport(to), true)
  await t.rejects(importState(to, { ...file, sha256: 'another' }), { code: 'STATE_FILE', message: /^an import of another file was interrupted/ })
  await importState(to, file)
  t.equal(await exported(to), text)
  t.equal(await hasUnfinishedImport(to), false)
})
