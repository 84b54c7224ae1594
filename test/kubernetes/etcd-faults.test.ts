// What the store in etcd does when etcd, or the way to it, or its holder fails.

import { test, t as root, type Test } from 'tap'
import { EtcdStore, type EtcdOptions } from '../../src/state/etcd/etcd-store.ts'
import { mirror } from '../../src/state/mirror.ts'
import type { Store } from '../../src/state/store.ts'
import { pausedHolder } from '../state/paused-holder.ts'
import { until } from '../support/sockets.ts'
import { EtcdCluster } from './etcd-cluster.ts'
import { waysTo } from './etcd-way.ts'

const cluster = await EtcdCluster.start(root)

async function open(t: Test, options: EtcdOptions): Promise<Store> {
  const store = await EtcdStore.open(options)
  t.teardown(() => store.close())
  return store
}

interface Copy {
  readonly values: Map<string, string>
  /** `away`, `back`, and each change. */
  readonly told: string[]
}

async function copyOf(t: Test, store: Store, prefix: string): Promise<Copy> {
  const copy: Copy = { values: new Map(), told: [] }
  const watch = await mirror(store, prefix, {
    put: ({ key, value }) => {
      copy.values.set(key, value)
      copy.told.push(`${key}=${value}`)
    },
    removed: (key) => {
      copy.values.delete(key)
      copy.told.push(`-${key}`)
    },
    away: () => copy.told.push('away'),
    back: () => copy.told.push('back'),
  })
  t.teardown(() => watch.close())
  return copy
}

void test('members are killed one after another and come back: every write that was acknowledged is there, once, and mirrors have it', async (t) => {
  const options = cluster.options('/sluice/one-by-one')
  const [store, other] = [await open(t, options), await open(t, options)]
  const copy = await copyOf(t, other, 'count')
  const lease = await store.lease({ ttlMs: 20_000, lost: (why) => t.fail(why) })
  await lease.put('held/a', 'x')
  let acknowledged = 0
  const over = new AbortController()
  const writing = (async (): Promise<void> => {
    for (let turn = 1; !over.signal.aborted; turn++) {
      const before = await store.get('count/a')
      t.equal(Number(before?.value ?? 0), acknowledged, 'nobody else writes')
      if (await store.put('count/a', String(turn), before?.revision ?? 0) === undefined) throw new Error('an own write was taken for another’s')
      acknowledged = turn
    }
  })()
  for (const index of [0, 1, 2]) {
    await cluster.killMember(index)
    const before = acknowledged
    await until(() => acknowledged > before + 20)
    cluster.startMember(index)
    await cluster.ready()
  }
  over.abort()
  await writing
  t.ok(acknowledged > 60)
  await until(() => copy.values.get('count/a') === String(acknowledged))
  const counts = copy.told.filter((line) => line.startsWith('count/a=')).map((line) => Number(line.slice('count/a='.length)))
  t.same(counts, counts.toSorted((a, b) => a - b), 'in order')
  t.match(await store.get('held/a'), { value: 'x' })
  await lease.close()
})

void test('while all members are away a mirror keeps what it has and a put fails in time and says why; then both go on', async (t) => {
  const options = cluster.options('/sluice/all-at-once')
  const store = await open(t, options)
  const copy = await copyOf(t, store, 'nodes')
  await store.put('nodes/a', 'one', 0)
  await until(() => copy.values.has('nodes/a'))
  let whyLost = ''
  const lease = await store.lease({
    ttlMs: 2_000, lost: (why) => {
      whyLost = why
    },
  })
  await lease.put('held/a', 'x')
  await Promise.all([0, 1, 2].map(async (index) => await cluster.killMember(index)))
  await t.rejects(store.put('nodes/b', 'two', 0), { code: 'STORE_UNAVAILABLE', message: /^no member of etcd answers: 127\.0\.0\.1:\d+: .*; expected one of them to answer within 10000 ms$/ })
  await until(() => copy.told.includes('away') && whyLost !== '')
  t.match(whyLost, /no member of etcd answers|did not run/)
  t.same([...copy.values], [['nodes/a', 'one']])
  await t.rejects(EtcdStore.open(options), { code: 'STORE_UNAVAILABLE', message: /ECONNREFUSED/ })
  for (const index of [0, 1, 2]) cluster.startMember(index)
  await cluster.ready()
  await store.put('nodes/c', 'three', 0)
  await until(() => copy.values.has('nodes/c') && copy.told.includes('back'))
  t.same(copy.told.filter((line) => line.includes('=')), ['nodes/a=one', 'nodes/c=three'], 'the put that failed was not carried out later')
})

void test('a watcher whose revision was compacted while it was away is told of what has become different, and only that', async (t) => {
  const options = cluster.options('/sluice/compacted')
  const ways = await waysTo(t, options)
  const [far, near] = [await open(t, ways.options), await open(t, options)]
  for (const key of ['stays', 'changes', 'goes']) await near.put(`m/${key}`, '1', 0)
  const copy = await copyOf(t, far, 'm')
  t.equal(copy.told.length, 3)
  ways.cut()
  await until(() => copy.told.includes('away'))
  await near.put('m/changes', '2', (await near.get('m/changes'))?.revision ?? -1)
  await near.remove('m/goes', (await near.get('m/goes'))?.revision ?? -1)
  const last = await near.put('m/new', '1', 0)
  await near.put('m/brief', '1', 0)
  await near.remove('m/brief', (await near.get('m/brief'))?.revision ?? -1)
  await cluster.asRoot('/v3/kv/compaction', { revision: (last?.revision ?? 0) + 2, physical: true })
  ways.mend()
  await until(() => copy.told.includes('back'))
  t.same(copy.told.slice(4, -1).toSorted(), ['-m/goes', 'm/changes=2', 'm/new=1'])
  await near.put('m/stays', '2', (await near.get('m/stays'))?.revision ?? -1)
  await until(() => copy.values.get('m/stays') === '2')
})

void test('a member that no longer says anything is left, also by watches', async (t) => {
  const options = cluster.options('/sluice/silent')
  const store = await open(t, options)
  const copy = await copyOf(t, store, 'm')
  // Of the store's own connections, all are with the first.
  cluster.signalMember(0, 'SIGSTOP')
  t.teardown(() => cluster.signalMember(0, 'SIGCONT'))
  await store.put('m/a', '1', (await store.get('m/a'))?.revision ?? 0)
  await until(() => copy.values.get('m/a') === '1')
  cluster.signalMember(0, 'SIGCONT')
  await cluster.ready()
  t.equal(copy.values.get('m/a'), '1')
})

void test('a holder that was paused finds that its lease has run out', async (t) => {
  const { endpoints, prefix, caFile = '', user = { name: '', passwordFile: '' } } = cluster.options('/sluice/paused')
  await pausedHolder(t, await open(t, cluster.options(prefix)), { kind: 'etcd', endpoints, prefix, caFile, user })
})

void test('what etcd does not allow is said when the store is opened, with what was expected', async (t) => {
  const options = cluster.options('/sluice')
  const passwordFile = cluster.file('wrong-password')
  const cases: readonly (readonly [what: string, options: EtcdOptions, message: RegExp])[] = [
    ['a prefix that is not the user’s', { ...options, prefix: '/other' }, /the user sluice may not read and write below \/other\/ \(etcdserver: permission denied\); expected a role with that: etcdctl role grant-permission ROLE readwrite --prefix \/other\//],
    ['a wrong password', { ...options, user: { name: 'sluice', passwordFile } }, /it refuses the user sluice \(.*authentication failed.*\); expected the user’s password in \S+wrong-password$/],
    ['a user that there is not', { ...options, user: { name: 'nobody', passwordFile } }, /it refuses the user nobody/],
    ['nobody', { ...options, user: undefined }, /it wants to know who asks .*; expected username and passwordFile, or a certFile whose CN is a user/],
    ['another authority', { ...options, caFile: cluster.file('other-ca.crt') }, /no member of etcd answers: .*(unable to verify|self-signed|issuer).*; expected one of them to answer/],
    ['a file that is not there', { ...options, caFile: cluster.file('no.crt') }, /no member of etcd answers: .*ENOENT.*no\.crt/],
  ]
  for (const [what, wrong, message] of cases) await t.rejects(EtcdStore.open(wrong), { code: 'STORE_UNAVAILABLE', message }, what)
})

void test('a client certificate’s common name is the user', async (t) => {
  const certified = await EtcdCluster.start(t, { hasClientCertificates: true })
  const store = await open(t, certified.options('/sluice'))
  await store.put('a', 'x', 0)
  t.match(await store.get('a'), { value: 'x' })
  await t.rejects(EtcdStore.open(certified.options('/other')), { code: 'STORE_UNAVAILABLE', message: /the user that \S+client\.crt names \(its CN\) may not read and write below \/other\// })
})
