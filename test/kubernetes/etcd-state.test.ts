// What gateways and commands do with an etcd: nodes that enrol, are let in and are revoked, with and without it; and the way of all state from a
// directory into it and back.

import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { test, t as root, type Test } from 'tap'
import { stateCommand } from '../../src/cli/state.ts'
import { nodeCommand, tokenCommand } from '../../src/cli/token.ts'
import type { Claim } from '../../src/core/identity/admission.ts'
import { EtcdStore, type EtcdOptions } from '../../src/state/etcd/etcd-store.ts'
import { Identities, keyIdOf } from '../../src/state/identities.ts'
import { run } from '../support/command.ts'
import { until } from '../support/sockets.ts'
import { EtcdCluster } from './etcd-cluster.ts'
import { waysTo } from './etcd-way.ts'

const cluster = await EtcdCluster.start(root)
const hour = 3_600_000

function newKey(): Buffer {
  return generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
}

async function identitiesOf(t: Test, options: EtcdOptions): Promise<Identities> {
  const store = await EtcdStore.open(options)
  t.teardown(() => store.close())
  return new Identities(store)
}

void test('a node that has just enrolled at one gateway is known to the other, and of many at once each use of a token is taken once', async (t) => {
  const options = cluster.options('/sluice/enrol')
  const gateways = [await identitiesOf(t, options), await identitiesOf(t, options)]
  const { text } = await (await identitiesOf(t, options)).createToken({ tenant: 'acme', ttlMs: hour, usesMax: 100 })
  const outcomes = await Promise.all(Array.from({ length: 120 }, async (_, index) => {
    const claim: Claim = { kind: 'key', nodeName: `node${index}`, publicKey: newKey() }
    const first = await gateways[index % 2]?.admit({ ...claim, tokenText: text })
    const second = await gateways[(index + 1) % 2]?.admit(claim)
    return `${first?.kind} ${second?.kind}`
  }))
  t.equal(outcomes.filter((each) => each === 'admitted admitted').length, 100)
  t.equal(outcomes.filter((each) => each === 'refused refused').length, 20)
})

void test('a node is revoked everywhere, also at a gateway that could not hear of it, and who is known needs no etcd', async (t) => {
  const options = cluster.options('/sluice/revoke')
  const ways = await waysTo(t, options)
  const [far, near] = [await identitiesOf(t, ways.options), await identitiesOf(t, options)]
  const told: string[] = []
  await far.watchRevocations((keyId) => told.push(keyId), () => told.push('away'), () => told.push('back'))
  const claims = await Promise.all([0, 1, 2].map(async (index) => {
    const claim: Claim = { kind: 'certificate', tenant: 'acme', nodeName: `node${index}`, publicKey: newKey(), expiresAtMs: Date.now() + hour }
    await far.admit(claim)
    return claim
  }))
  const [first = '', second = '', third = ''] = claims.map(({ publicKey }) => keyIdOf(publicKey))
  await near.revokeNode(first)
  await until(() => told.includes(first))
  ways.cut()
  await until(() => told.includes('away'))
  await near.revokeNode(second)
  for (const claim of claims.slice(1)) t.match(await far.admit(claim), { kind: 'admitted', isNew: false }, 'as it was known last')
  t.equal(await far.isRevoked(third), false)
  await t.rejects(far.admit({ kind: 'key', nodeName: 'new', publicKey: newKey() }), { code: 'STORE_UNAVAILABLE' })
  ways.mend()
  await until(() => told.includes('back'))
  t.same(told, [first, 'away', second, 'back'])
  t.match(await Promise.all(claims.map(async (claim) => await far.admit(claim))), [{ reason: 'node-revoked' }, { reason: 'node-revoked' }, { kind: 'admitted' }])
})

void test('the state goes from a directory into etcd and back, beside gateways that run', async (t) => {
  const config = (name: string, state: string): string => {
    const file = cluster.file(`${name}.yaml`)
    writeFileSync(file, `listeners: [{ address: 127.0.0.1:6443 }]\ntenants: [{ name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:1] } }]\nstate: ${state}\n`)
    return file
  }
  const options = cluster.options('/sluice/moved')
  const endpoints = options.endpoints.map((each) => `"https://${each}"`).join(', ')
  const etcd = config('etcd', `{ kind: etcd, endpoints: [${endpoints}], prefix: ${options.prefix}, caFile: ca.crt, username: sluice, passwordFile: password }`)
  const [before, after] = [config('before', '{ directory: before }'), config('after', '{ directory: after }')]
  const token = (await run(tokenCommand, 'create', '--config', before, '--tenant', 'acme', '--uses', '300')).stdout.trim()
  const move = async (from: string, to: string): Promise<string> => {
    const exported = await run(stateCommand, 'export', '--config', from)
    t.match(await run(async (args, io) => await stateCommand(args, io, Readable.from([exported.stdout])), 'import', '--config', to), { code: 0 }, exported.stderr)
    return exported.stdout
  }
  const first = await move(before, etcd)
  t.equal((await run(stateCommand, 'export', '--config', etcd)).stdout, first)

  const store = await EtcdStore.open(options)
  t.teardown(() => store.close())
  const identities = new Identities(store)
  const keys = Array.from({ length: 250 }, newKey)
  for (let at = 0; at < keys.length; at += 50) await Promise.all(keys.slice(at, at + 50).map(async (publicKey, index) => await identities.admit({ kind: 'key', nodeName: `node${at + index}`, publicKey, tokenText: token })))
  const revoked = keyIdOf(keys[7] ?? Buffer.alloc(0))
  t.match(await run(nodeCommand, 'revoke', '--config', etcd, revoked), { code: 0 })
  const lease = await store.lease({ ttlMs: 10_000, lost: (why) => t.fail(why) })
  const over = new AbortController()
  const changing = (async (): Promise<void> => {
    for (let turn = 0; !over.signal.aborted; turn++) await lease.put(`agents/acme/${turn % 10}`, String(turn))
  })()
  const second = await move(etcd, after)
  over.abort()
  await changing
  await lease.close()
  t.match(second.split('\n')[0], '"counts":{"nodes":250,"tokens":1}')
  t.equal((await run(stateCommand, 'export', '--config', after)).stdout, second)
  t.match((await run(nodeCommand, 'list', '--config', after)).stdout.split('\n').find((line) => line.startsWith(revoked)), / revoked$/)
})
