// `sluice state`: out of one store, into another.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type Test } from 'tap'
import { stateCommand } from '../../src/cli/state.ts'
import { nodeCommand, tokenCommand } from '../../src/cli/token.ts'
import { FileStore } from '../../src/state/file/file-store.ts'
import { run, type Outcome } from '../support/command.ts'

function configs(t: Test): { readonly from: string; readonly to: string; readonly folder: string } {
  const folder = t.testdir()
  mkdirSync(folder, { recursive: true })
  const write = (name: string): string => {
    const file = join(folder, `${name}.yaml`)
    writeFileSync(file, `listeners: [{ address: 127.0.0.1:6443 }]\ntenants: [{ name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:1] } }]\nstate: { directory: ${name} }\n`)
    return file
  }
  return { from: write('from'), to: write('to'), folder }
}

async function importFrom(text: string, config: string): Promise<Outcome> {
  return await run(async (args, io) => await stateCommand(args, io, Readable.from([text])), 'import', '--config', config)
}

void test('tokens and nodes go from one store to another, and what was revoked stays so', async (t) => {
  const { from, to, folder } = configs(t)
  t.match(await run(tokenCommand, 'create', '--config', from, '--tenant', 'acme'), { code: 0 })
  const store = await FileStore.open(join(folder, 'from'))
  const node = { tenant: 'acme', name: 'node1', publicKey: 'x', enrolledAtMs: 1, enrolledBy: 'certificate' }
  await store.put(`nodes/acme/${'a'.repeat(32)}`, JSON.stringify(node), 0)
  await store.close()
  t.match(await run(nodeCommand, 'revoke', '--config', from, 'a'.repeat(32)), { code: 0 })
  const exported = await run(stateCommand, 'export', '--config', from)
  t.match(exported, { code: 0, stderr: 'exported 1 nodes, 1 tokens\n' })
  t.match(await importFrom(exported.stdout, to), { code: 0, stdout: '', stderr: 'imported 1 nodes, 1 tokens\n' })
  t.equal((await run(stateCommand, 'export', '--config', to)).stdout, exported.stdout)
  t.match(await run(nodeCommand, 'list', '--config', to), { stdout: /node1 .*revoked/ })
  t.match(await importFrom(exported.stdout, to), { code: 2, stderr: /^sluice state import: the store is not empty: it has 1 nodes, 1 tokens/ })
})

void test('a wrong file changes nothing, and an interrupted import keeps others out of the store', async (t) => {
  const { from, to, folder } = configs(t)
  await run(tokenCommand, 'create', '--config', from, '--tenant', 'acme')
  const { stdout } = await run(stateCommand, 'export', '--config', from)
  t.match(await importFrom(stdout.slice(0, -80), to), { code: 2, stderr: /^sluice state import: / })
  t.match(await run(stateCommand, 'export', '--config', to), { code: 0, stderr: 'exported nothing\n' })
  const store = await FileStore.open(join(folder, 'to'))
  await store.put('imports/unfinished', /"sha256":"(\w+)"/.exec(stdout)?.[1] ?? '', 0)
  await store.close()
  for (const command of [tokenCommand, nodeCommand]) t.match(await run(command, 'list', '--config', to), { code: 1, stderr: /an import into the store was interrupted; expected it to be run again/ })
  t.match(await importFrom(stdout, to), { code: 0 })
  t.match(await run(tokenCommand, 'list', '--config', to), { code: 0, stdout: /acme +0\/1/ })
})

void test('what is wrong with the arguments is said, with the usage', async (t) => {
  const { from } = configs(t)
  for (const args of [[], ['export'], ['merge', '--config', from], ['export', 'more', '--config', from]]) {
    t.match(await run(stateCommand, ...args), { code: 2, stderr: /^sluice state: export or import, and --config FILE are needed\n\nUsage: sluice state export/ })
  }
})
