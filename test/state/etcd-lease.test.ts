// Keys under a lease of etcd whose tries get no answer in time, and are carried out later all the same: a server that does as etcd
// does, and holds back what the test wants. How the lease does with etcd itself is in test/kubernetes/etcd-….

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Server, ServerCredentials, type sendUnaryData, type ServerDuplexStream, type ServerUnaryCall, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { test, type Test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import type { TxnRequest } from '../../src/state/etcd/etcd-api.ts'
import { EtcdStore } from '../../src/state/etcd/etcd-store.ts'
import { until } from '../support/sockets.ts'

const definition = loadSync(fileURLToPath(new URL('../../src/state/etcd/etcd.proto', import.meta.url)), { longs: String, enums: String, defaults: true, oneofs: true })
const ca = createCa('etcd CA')

interface Value {
  readonly key: Buffer
  readonly value: Buffer
  readonly modRevision: string
  readonly lease: string
}

interface Etcd {
  readonly store: EtcdStore
  /** By key, without the prefix. */
  readonly values: () => ReadonlyMap<string, string>
  /** The next call of it gets no answer. @returns what carries it out, once it has come */
  readonly holdNext: (method: 'Txn' | 'LeaseGrant') => { readonly carryOut: () => void; readonly hasCome: () => boolean }
}

async function startEtcd(t: Test): Promise<Etcd> {
  const kept = new Map<string, Value>()
  const held: { readonly method: string; work: (() => void) | undefined }[] = []
  let [revision, leases] = [1, 0]
  const apply = ({ compare, success, failure }: TxnRequest): unknown => {
    const succeeded = compare.every(({ key, target, modRevision, lease }) => {
      const at = kept.get(key.toString())
      return target === 'MOD' ? Number(at?.modRevision ?? 0) === Number(modRevision) : (at?.lease ?? '0') === lease
    })
    const operations = succeeded ? success : failure
    if (operations.some(({ requestPut, requestDeleteRange }) => requestPut ?? requestDeleteRange)) revision += 1
    const responses = operations.map(({ requestRange, requestPut, requestDeleteRange }) => {
      if (requestPut) kept.set(requestPut.key.toString(), { key: requestPut.key, value: requestPut.value, modRevision: String(revision), lease: String(requestPut.lease) })
      if (requestDeleteRange) kept.delete(requestDeleteRange.key.toString())
      const found = requestRange && kept.get(requestRange.key.toString())
      return requestRange ? { responseRange: { kvs: found ? [found] : [] } } : {}
    })
    return { header: { revision: String(revision) }, succeeded, responses }
  }
  const unary = (method: string, answer: (request: TxnRequest) => unknown) => (call: ServerUnaryCall<TxnRequest, unknown>, callback: sendUnaryData<unknown>): void => {
    const hold = held.find((each) => each.method === method && each.work === undefined)
    if (hold !== undefined) hold.work = () => void answer(call.request)
    else callback(null, answer(call.request))
  }
  const server = new Server()
  const serve = (name: string, implementation: UntypedServiceImplementation): void => server.addService(definition[name] as ServiceDefinition, implementation)
  serve('etcdserverpb.KV', {
    Txn: unary('Txn', apply),
    Put: unary('Put', () => ({ header: { revision: String(revision) } })),
    Range: unary('Range', () => ({ header: { revision: String(revision) }, kvs: [] })),
  })
  serve('etcdserverpb.Lease', {
    LeaseGrant: unary('LeaseGrant', () => ({ ID: String(++leases) })),
    LeaseRevoke: unary('LeaseRevoke', () => ({ header: {} })),
    LeaseKeepAlive: (call: ServerDuplexStream<{ readonly ID: string }, unknown>) => {
      call.on('data', ({ ID }) => call.write({ ID, TTL: '10' }))
      call.on('end', () => call.end())
    },
  })
  const { certificatePem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
  const port = await new Promise<number>((resolve, reject) => {
    const tls = ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(certificatePem), private_key: Buffer.from(keyPem) }])
    server.bindAsync('127.0.0.1:0', tls, (error, bound) => error === null ? resolve(bound) : reject(error))
  })
  t.teardown(() => server.forceShutdown())
  const caFile = join(t.testdir(), 'ca.crt')
  writeFileSync(caFile, ca.certificatePem)
  const store = await EtcdStore.open({ endpoints: [`localhost:${port}`], prefix: '/sluice', caFile, certificate: undefined, user: undefined })
  t.teardown(() => store.close())
  return {
    store,
    values: () => new Map(Array.from(kept.values(), ({ key, value }) => [key.toString().replace('/sluice/', ''), value.toString()])),
    holdNext: (method) => {
      const hold: (typeof held)[number] = { method, work: undefined }
      held.push(hold)
      return { carryOut: () => hold.work?.(), hasCome: () => hold.work !== undefined }
    },
  }
}

void test('a try of a put that is carried out late changes nothing any more', async (t) => {
  const { store, values, holdNext } = await startEtcd(t)
  const lease = await store.lease({ ttlMs: 60_000, lost: (why) => t.fail(why) })
  const late = holdNext('Txn')
  await lease.put('sessions/a', 'one')
  t.ok(late.hasCome())
  await lease.put('sessions/a', 'two')
  late.carryOut()
  t.equal(values().get('sessions/a'), 'two')
})

void test('nor does it bring back a key that was removed since, whatever else was', async (t) => {
  const { store, values, holdNext } = await startEtcd(t)
  const lease = await store.lease({ ttlMs: 60_000, lost: (why) => t.fail(why) })
  await lease.put('sessions/stays', 'x')
  const late = [holdNext('Txn'), holdNext('Txn')]
  await Promise.all([lease.put('sessions/a', 'one'), lease.put('sessions/b', 'one')])
  await until(() => late.every(({ hasCome }) => hasCome()))
  await Promise.all([lease.remove('sessions/a'), lease.remove('sessions/b'), lease.put('sessions/stays', 'y'), lease.put('sessions/comes', 'z')])
  for (const { carryOut } of late) carryOut()
  t.same(['a', 'b', 'comes', 'stays'].map((key) => values().get(`sessions/${key}`)), [undefined, undefined, 'z', 'y'])
  await lease.put('sessions/a', 'two')
  for (const { carryOut } of late) carryOut()
  t.equal(values().get('sessions/a'), 'two')
})

void test('nor does a removal that is carried out late take what was put since', async (t) => {
  const { store, values, holdNext } = await startEtcd(t)
  const lease = await store.lease({ ttlMs: 60_000, lost: (why) => t.fail(why) })
  await lease.put('sessions/a', 'one')
  const late = holdNext('Txn')
  await lease.remove('sessions/a')
  await lease.put('sessions/a', 'two')
  late.carryOut()
  t.equal(values().get('sessions/a'), 'two')
})

void test('a lease whose first tries got no answer begins with the one that did', async (t) => {
  const { store, values, holdNext } = await startEtcd(t)
  // Longer than the lease holds.
  holdNext('LeaseGrant')
  const lease = await store.lease({ ttlMs: 2_000, lost: (why) => t.fail(why) })
  await lease.put('sessions/a', 'one')
  t.equal(values().get('sessions/a'), 'one')
})
