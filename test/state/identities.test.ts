import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import type { CertificateClaim } from '../../src/core/identity/admission.ts'
import { FileStore } from '../../src/state/file/file-store.ts'
import { Identities, identityLimits, keyIdOf } from '../../src/state/identities.ts'
import { until } from '../support/sockets.ts'

interface Fixture {
  readonly identities: Identities
  readonly directory: string
  nowMs: number
}

async function fixture(t: Test): Promise<Fixture> {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  t.teardown(() => store.close())
  const it: Fixture = { identities: new Identities(store, () => it.nowMs), directory, nowMs: 1_000_000 }
  return it
}

function newKey(): Buffer {
  return generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
}

const hour = 3_600_000

void test('a token lets so many nodes in, for its tenant', async (t) => {
  const { identities } = await fixture(t)
  const { id, text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 2 })
  t.match(text, new RegExp(`^sluice1\\.acme\\.${id}\\.[\\w-]{43}$`))
  const keys = [newKey(), newKey(), newKey()] as const
  const admissions = []
  for (const [index, publicKey] of keys.entries()) admissions.push(await identities.admit({ kind: 'key', nodeName: `node${index}`, publicKey, tokenText: text }))
  t.match(admissions, [
    { kind: 'admitted', isNew: true, node: { tenant: 'acme', name: 'node0', enrolledBy: id, keyId: keyIdOf(keys[0]) } },
    { kind: 'admitted', isNew: true, node: { name: 'node1' } },
    { kind: 'refused', reason: 'token-used-up' },
  ])
  t.match(await identities.tokens(), [{ id, usedBy: [keyIdOf(keys[0]), keyIdOf(keys[1])] }])
})

void test('a node that is enrolled needs no token, and its name is its own', async (t) => {
  const { identities } = await fixture(t)
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  const publicKey = newKey()
  await identities.admit({ kind: 'key', nodeName: 'node1', publicKey, tokenText: text })
  t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey }), { kind: 'admitted', isNew: false, node: { tenant: 'acme' } })
  t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey, tokenText: text }), { kind: 'admitted', isNew: false }, 'and takes no second use')
  t.match(await identities.admit({ kind: 'key', nodeName: 'node2', publicKey }), { kind: 'refused', reason: 'name-mismatch' })
  t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey: newKey() }), { kind: 'refused', reason: 'node-unknown' })
})

void test('what is wrong with a token is told, but not whether its id or its secret', async (t) => {
  const it = await fixture(t)
  const { identities } = it
  const token = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  const claim = async (tokenText: string): Promise<unknown> => {
    const admission = await identities.admit({ kind: 'key', nodeName: 'node1', publicKey: newKey(), tokenText })
    return admission.kind === 'refused' ? admission.reason : 'admitted'
  }
  t.equal(await claim('sluice1.x.y'), 'malformed')
  t.equal(await claim(`${token.text}\n`), 'malformed')
  t.equal(await claim('sluice1.Acme.0123456789abcdef.'.padEnd(73, 'A')), 'malformed')
  t.equal(await claim(`sluice1.acme.${randomBytes(8).toString('hex')}.${token.text.slice(-43)}`), 'token-unknown')
  t.equal(await claim(`sluice1.acme.${token.id}.${randomBytes(32).toString('base64url')}`), 'token-unknown')
  t.equal(await claim(`sluice1.globex.${token.id}.${token.text.slice(-43)}`), 'token-unknown')
  t.equal(await claim(`sluice1.${token.id}.${token.text.slice(-43)}`), 'token-unknown')
  it.nowMs += hour
  t.equal(await claim(token.text), 'token-expired')
  it.nowMs -= 1
  await identities.revokeToken(token.id)
  t.equal(await claim(token.text), 'token-revoked')
  t.equal(await identities.revokeToken('0000000000000000'), undefined)
})

void test('of enrolments that race for the last use exactly one wins', async (t) => {
  const { identities } = await fixture(t)
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  const admissions = await Promise.all(Array.from({ length: 8 }, async (_, index) => await identities.admit({ kind: 'key', nodeName: `node${index}`, publicKey: newKey(), tokenText: text })))
  t.equal(admissions.filter(({ kind }) => kind === 'admitted').length, 1)
  t.equal((await identities.nodes()).length, 1)
})

void test('many nodes enrol at once, through several processes’ stores, as often as the token says', async (t) => {
  const { identities, directory } = await fixture(t)
  const store = await FileStore.open(directory)
  t.teardown(() => store.close())
  const both = [identities, new Identities(store, () => 1_000_000)]
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 300 })
  const admissions = await Promise.all(Array.from({ length: 320 }, async (_, index) => {
    const admission = await both[index % 2]?.admit({ kind: 'key', nodeName: `node${index}`, publicKey: newKey(), tokenText: text })
    return admission?.kind === 'refused' ? admission.reason : admission?.kind
  }))
  t.equal(admissions.filter((each) => each === 'admitted').length, 300)
  t.equal(admissions.filter((each) => each === 'token-used-up').length, 20)
  t.equal((await identities.nodes()).length, 300)
})

void test('one key on many connections at once is one node and one use', async (t) => {
  const { identities } = await fixture(t)
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  const publicKey = newKey()
  const admissions = await Promise.all(Array.from({ length: 8 }, async () => await identities.admit({ kind: 'key', nodeName: 'node1', publicKey, tokenText: text })))
  t.ok(admissions.every(({ kind }) => kind === 'admitted'))
  t.equal(admissions.filter((each) => each.kind === 'admitted' && each.isNew).length, 1)
})

void test('a node that is revoked is out for good, and who watches is told at once', async (t) => {
  const { identities } = await fixture(t)
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 2 })
  const [revoked, other] = [newKey(), newKey()]
  await identities.admit({ kind: 'key', nodeName: 'node1', publicKey: revoked, tokenText: text })
  const told: string[] = []
  const watch = await identities.watchRevocations((keyId) => told.push(keyId), (error) => t.error(error))
  await identities.admit({ kind: 'key', nodeName: 'node2', publicKey: other, tokenText: text })
  t.match(await identities.revokeNode(keyIdOf(revoked)), { name: 'node1' })
  await until(() => told.length > 0)
  t.same(told, [keyIdOf(revoked)])
  t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey: revoked, tokenText: text }), { kind: 'refused', reason: 'node-revoked' })
  watch.close()
})

void test('what a process wrote that was killed before it told anybody is heard of when it is done again', async (t) => {
  const { identities, directory } = await fixture(t)
  const store = await FileStore.open(directory)
  t.teardown(() => store.close())
  const others = new Identities(store)
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 2 })
  const [revoked, enrolled] = [newKey(), newKey()]
  const [revokedId, enrolledId] = [keyIdOf(revoked), keyIdOf(enrolled)]
  await identities.admit({ kind: 'key', nodeName: 'node1', publicKey: revoked, tokenText: text })
  const folderOf = (keyId: string): string => join(directory, 'entries', 'nodes', 'acme', `${keyId}@`)
  const record = readFileSync(join(folderOf(revokedId), '00000001'), 'utf8')
  t.match(await identities.admit({ kind: 'key', nodeName: 'node3', publicKey: newKey() }), { kind: 'refused', reason: 'node-unknown' }, 'all that was told is heard')
  writeFileSync(join(folderOf(revokedId), '00000002'), record.replace(/\}$/, ',"revokedAtMs":5}'))
  mkdirSync(folderOf(enrolledId))
  writeFileSync(join(folderOf(enrolledId), '00000001'), record.replace('node1', 'node2'))
  const told: string[] = []
  await identities.watchRevocations((keyId) => told.push(keyId), (error) => t.error(error))
  t.equal(await identities.isRevoked(revokedId), false)
  t.match(await others.revokeNode(revokedId), { name: 'node1', revokedAtMs: 5 })
  await until(() => told.length > 0)
  t.equal(await identities.isRevoked(revokedId), true)
  t.match(await identities.admit({ kind: 'key', nodeName: 'node2', publicKey: enrolled, tokenText: text }), { kind: 'admitted', isNew: false })
  t.equal(await identities.isRevoked(enrolledId), false)
})

void test('a record that nobody can read lets nobody in, and ends no gateway', async (t) => {
  const { identities, directory } = await fixture(t)
  const store = await FileStore.open(directory)
  t.teardown(() => store.close())
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 2 })
  const [broken, other] = [newKey(), newKey()]
  await identities.admit({ kind: 'key', nodeName: 'node1', publicKey: broken, tokenText: text })
  await identities.admit({ kind: 'key', nodeName: 'node2', publicKey: other, tokenText: text })
  const told: string[] = []
  await identities.watchRevocations((keyId) => told.push(keyId), (error) => t.error(error))
  const key = `nodes/acme/${keyIdOf(broken)}`
  for (const value of ['{"tenant":"acme",', 'null', '{"tenant":"acme"}']) {
    await store.put(key, value, (await store.get(key))?.revision ?? 0)
    await until(() => told.length > 0)
    t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey: broken }), { kind: 'refused', reason: 'node-unknown' })
    t.match(await identities.admit({ kind: 'key', nodeName: 'node2', publicKey: other }), { kind: 'admitted' })
    await t.rejects(identities.nodes(), { code: 'STORE_UNAVAILABLE', message: `${key}: ${JSON.stringify(value)} is no node’s record; expected what Sluice has written, or nothing` })
  }
})

void test('a token’s limits, and its secret nowhere on disk', async (t) => {
  const { identities, directory } = await fixture(t)
  await t.rejects(identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 0 }), { code: 'IDENTITY', message: /1 to 1000 times/ })
  await t.rejects(identities.createToken({ tenant: 'acme', ttlMs: identityLimits.ttlMsMax + 1, usesMax: 1 }), { code: 'IDENTITY', message: /30 days/ })
  const { id, text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) => each.isFile()).map((each) => readFileSync(join(each.parentPath, each.name), 'utf8'))
  t.ok(files.some((content) => content.includes(createHash('sha256').update(text.split('.').at(-1) ?? '').digest('hex'))))
  t.notOk(files.some((content) => content.includes(text.split('.').at(-1) ?? '')), id)
})

interface TestCertificate {
  readonly publicKey?: Buffer
  readonly tenant?: string
  readonly nodeName?: string
  readonly expiresAtMs?: number
}

function certificateClaim({ publicKey = randomBytes(91), tenant = 'acme', nodeName = 'node1', expiresAtMs = 2_000_000 }: TestCertificate = {}): CertificateClaim {
  return { kind: 'certificate', tenant, nodeName, publicKey, expiresAtMs }
}

void test('a certificate enrols its node without a token, once; its key keeps tenant and name', async (t) => {
  const { identities } = await fixture(t)
  const publicKey = randomBytes(91)
  const keyId = keyIdOf(publicKey)
  t.match(await Promise.all([1, 2].map(async () => await identities.admit(certificateClaim({ publicKey })))).then((both) => both.filter((each) => each.kind === 'admitted' && each.isNew)), { length: 1 })
  t.match(await identities.nodes(), [{ keyId, tenant: 'acme', name: 'node1', enrolledBy: 'certificate', publicKey: publicKey.toString('base64url') }])
  t.match(await identities.admit(certificateClaim({ publicKey, expiresAtMs: 9_000_000 })), { kind: 'admitted', isNew: false }, 'renewed')
  t.match(await identities.admit(certificateClaim({ publicKey, nodeName: 'node2' })), { kind: 'refused', reason: 'name-mismatch', detail: 'the key is node1’s' })
  t.match(await identities.admit(certificateClaim({ publicKey, tenant: 'globex' })), { kind: 'refused', reason: 'name-mismatch', detail: 'the key is of acme, the certificate of globex' })
  await identities.revokeNode(keyId)
  t.match(await identities.admit(certificateClaim({ publicKey })), { kind: 'refused', reason: 'node-revoked' })
})

/** Of this many nodes. */
async function smallFixture(t: Test, nodesMax: number): Promise<Fixture & { open(): Identities }> {
  const directory = join(t.testdir(), 'state')
  const store = await FileStore.open(directory)
  t.teardown(() => store.close())
  const open = (): Identities => new Identities(store, () => it.nowMs, nodesMax)
  const it = { identities: open(), directory, nowMs: 1_000_000, open }
  return it
}

void test('nodes whose certificate has expired make room for others; revoked ones and those with a token stay', async (t) => {
  const it = await smallFixture(t, 4)
  const { text } = await it.open().createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  await it.open().admit({ kind: 'key', nodeName: 'joined', publicKey: newKey(), tokenText: text })
  const [revoked, short] = [certificateClaim({ nodeName: 'revoked', expiresAtMs: 1_100_000 }), certificateClaim({ nodeName: 'short', expiresAtMs: 1_100_000 })]
  const identities = it.open()
  for (const claim of [revoked, short, certificateClaim({ nodeName: 'long' })]) await identities.admit(claim)
  await identities.revokeNode(keyIdOf(revoked.publicKey))
  t.same(await identities.admit(certificateClaim()), { kind: 'refused', reason: 'too-many-nodes', detail: 'there are 4 nodes, of at most 4, and none that is no longer needed' })
  t.match(await identities.admit(short), { kind: 'admitted', isNew: false }, 'who is known is let in')
  it.nowMs = 1_200_000
  t.match(await identities.admit(certificateClaim({ nodeName: 'next' })), { kind: 'admitted', isNew: true })
  t.same((await identities.nodes()).map(({ name }) => name).toSorted(), ['joined', 'long', 'next', 'revoked'])
})

void test('a token lets nobody in beyond the limit of nodes; who was refused comes in by its use when there is room', async (t) => {
  const it = await smallFixture(t, 3)
  const { identities } = it
  const { id, text } = await identities.createToken({ tenant: 'acme', ttlMs: identityLimits.ttlMsMax, usesMax: 8 })
  const claims = Array.from({ length: 8 }, (_, index) => ({ kind: 'key', nodeName: `node${index}`, publicKey: newKey(), tokenText: text } as const))
  const admissions = await Promise.all(claims.map(async (claim) => await identities.admit(claim)))
  t.equal(admissions.filter(({ kind }) => kind === 'admitted').length, 3, 'of many at once')
  for (const each of admissions) if (each.kind === 'refused') t.equal(each.reason, 'too-many-nodes')
  t.match(await identities.admit({ kind: 'key', nodeName: 'stranger', publicKey: newKey(), tokenText: text.replace(/.$/, (last) => last === 'A' ? 'B' : 'A') }), { reason: 'token-unknown' }, 'who has no token is not told')
  const waiting = claims.find((_, index) => admissions[index]?.kind === 'refused')
  const [first] = await identities.nodes()
  await identities.revokeNode(first?.keyId ?? '')
  it.nowMs += hour
  t.match(waiting === undefined ? undefined : await identities.admit(waiting), { reason: 'too-many-nodes' }, 'one that is revoked stays, as long as a token might let it in again')
  it.nowMs += identityLimits.ttlMsMax
  const next = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  t.match(await identities.admit({ kind: 'key', nodeName: 'next', publicKey: newKey(), tokenText: next.text }), { kind: 'admitted', isNew: true })
  t.notMatch((await identities.nodes()).map(({ keyId }) => keyId), [first?.keyId])
  t.match((await identities.tokens()).find((token) => token.id === id)?.usedBy, { length: 8 })
})

void test('a node that had no room takes no second use of its token when there is', async (t) => {
  const it = await smallFixture(t, 1)
  const { identities } = it
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  const publicKey = newKey()
  await identities.admit(certificateClaim({ expiresAtMs: 1_100_000 }))
  t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey, tokenText: text }), { reason: 'too-many-nodes' })
  it.nowMs = 1_200_000
  t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey, tokenText: text }), { kind: 'admitted', isNew: true })
})

void test('what version 0.1 wrote still counts, and is changed where it stands', async (t) => {
  const { identities, directory } = await fixture(t)
  const store = await FileStore.open(directory)
  t.teardown(() => store.close())
  const [secret, id, publicKey] = [randomBytes(32).toString('base64url'), '0123456789abcdef', newKey()]
  const token = { tenant: 'acme', secretSha256: createHash('sha256').update(secret).digest('hex'), createdAtMs: 1, expiresAtMs: 1_000_000 + hour, usesMax: 2, usedBy: [] }
  const node = { tenant: 'acme', name: 'node1', publicKey: publicKey.toString('base64url'), enrolledAtMs: 1, enrolledBy: id }
  await store.put(`tokens/${id}`, JSON.stringify(token), 0)
  await store.put(`nodes/${keyIdOf(publicKey)}`, JSON.stringify(node), 0)
  t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey }), { kind: 'admitted', isNew: false })
  const newcomer = newKey()
  t.match(await identities.admit({ kind: 'key', nodeName: 'node2', publicKey: newcomer, tokenText: `sluice1.${id}.${secret}` }), { kind: 'admitted', isNew: true })
  t.same((await identities.nodes()).map(({ name }) => name).toSorted(), ['node1', 'node2'])
  t.same((await store.list('nodes')).map(({ key }) => key), [`nodes/${keyIdOf(publicKey)}`, `nodes/acme/${keyIdOf(newcomer)}`].toSorted())
  t.match(await identities.tokens(), [{ id, usedBy: [keyIdOf(newcomer)] }])
  t.match(await identities.revokeNode(keyIdOf(publicKey)), { name: 'node1' })
  t.match(await identities.revokeToken(id), { tenant: 'acme' })
  t.match((await store.list('tokens')).map(({ key }) => key), [`tokens/${id}`])
  t.equal(await identities.isRevoked(keyIdOf(newcomer)), false)
  t.match(await identities.admit({ kind: 'key', nodeName: 'node3', publicKey: newKey(), tokenText: `sluice1.${id}.${secret}` }), { kind: 'refused', reason: 'token-revoked' })
})

void test('a key that two gateways enrolled for two tenants at once is the first one’s, and a revocation is of the key', async (t) => {
  const { identities, directory } = await fixture(t)
  const store = await FileStore.open(directory)
  t.teardown(() => store.close())
  const claim = certificateClaim()
  const keyId = keyIdOf(claim.publicKey)
  const record = (tenant: string, enrolledAtMs: number): string => JSON.stringify({ tenant, name: 'node1', publicKey: 'x', enrolledAtMs, enrolledBy: 'certificate' })
  await store.put(`nodes/globex/${keyId}`, record('globex', 2), 0)
  await store.put(`nodes/acme/${keyId}`, record('acme', 1), 0)
  t.match(await identities.admit(claim), { kind: 'admitted', node: { tenant: 'acme' } })
  t.match(await identities.admit({ ...claim, tenant: 'globex' }), { kind: 'refused', reason: 'name-mismatch' })
  await identities.revokeNode(keyId)
  t.ok((await store.list('nodes')).every(({ value }) => value.includes('revokedAtMs')))
})

void test('a node that is known is let in while the store can not be read; no other is', async (t) => {
  const { identities, directory } = await fixture(t)
  const { text } = await identities.createToken({ tenant: 'acme', ttlMs: hour, usesMax: 1 })
  const publicKey = newKey()
  await identities.admit({ kind: 'key', nodeName: 'node1', publicKey, tokenText: text })
  await identities.admit({ kind: 'key', nodeName: 'node1', publicKey })
  const told: string[] = []
  await identities.watchRevocations((keyId) => told.push(keyId), () => told.push('away'), () => told.push('back'))
  renameSync(join(directory, 'entries'), join(directory, 'elsewhere'))
  writeFileSync(join(directory, 'entries'), 'no folder')
  t.match(await identities.admit({ kind: 'key', nodeName: 'node1', publicKey }), { kind: 'admitted', isNew: false })
  t.equal(await identities.isRevoked(keyIdOf(publicKey)), false)
  appendFileSync(join(directory, 'changes'), `nodes/acme/${keyIdOf(publicKey)}\n`)
  await until(() => told.length > 0)
  await t.rejects(identities.admit({ kind: 'key', nodeName: 'node2', publicKey: newKey() }), { code: 'STORE_UNAVAILABLE' })
  unlinkSync(join(directory, 'entries'))
  renameSync(join(directory, 'elsewhere'), join(directory, 'entries'))
  await until(() => told.length > 1)
  t.same(told, ['away', 'back'])
  t.match(await identities.admit({ kind: 'key', nodeName: 'node2', publicKey: newKey() }), { kind: 'refused', reason: 'node-unknown' })
})
