// What every store must do, whoever keeps it.

import { test, type Test } from 'tap'
import { mirror } from '../../src/state/mirror.ts'
import { storeLimits, type Store } from '../../src/state/store.ts'
import { seededRandom } from '../core/tls/hello-mutators.ts'
import { until } from '../support/sockets.ts'

export interface StoreUnderTest {
  /** One more way to the same state, as another process would have it. */
  open(): Promise<Store>
}

export function storeSuite(name: string, create: (t: Test) => StoreUnderTest): void {
  const rule = (what: string, check: (t: Test, store: Store, open: () => Promise<Store>) => Promise<void>): void => {
    void test(`${name}: ${what}`, async (t) => {
      const under = create(t)
      const open = async (): Promise<Store> => {
        const store = await under.open()
        t.teardown(() => store.close())
        return store
      }
      await check(t, await open(), open)
    })
  }

  rule('what is put is got, by others too', async (t, store, open) => {
    t.equal(await store.get('a/b'), undefined)
    const entry = await store.put('a/b', 'one', 0)
    t.match(entry, { key: 'a/b', value: 'one' })
    t.same(await (await open()).get('a/b'), entry)
  })

  rule('a put needs the revision that it follows, and revisions grow', async (t, store) => {
    const first = await store.put('a', 'one', 0)
    t.equal(await store.put('a', 'again', 0), undefined)
    t.equal(await store.put('a', 'from nowhere', 999), undefined)
    const second = await store.put('a', 'two', first?.revision ?? -1)
    t.ok((second?.revision ?? 0) > (first?.revision ?? 0))
    t.equal(await store.put('a', 'late', first?.revision ?? -1), undefined)
    t.match(await store.get('a'), { value: 'two' })
  })

  rule('of writers who have read the same exactly one wins', async (t, store, open) => {
    const other = await open()
    for (let round = 0; round < 20; round++) {
      const revision = (await store.get('a'))?.revision ?? 0
      const results = await Promise.all(Array.from({ length: 8 }, async (_, writer) => await (writer % 2 === 0 ? store : other).put('a', `${round} ${writer}`, revision)))
      const winners = results.filter((each) => each !== undefined)
      t.equal(winners.length, 1)
      t.same(await store.get('a'), winners[0])
    }
  })

  rule('counting up by many at once loses nothing', async (t, store, open) => {
    const stores = [store, await open(), await open()]
    await Promise.all(stores.map(async (each) => {
      for (let done = 0; done < 30;) {
        const entry = await each.get('count')
        if (await each.put('count', String(Number(entry?.value ?? 0) + 1), entry?.revision ?? 0) !== undefined) done += 1
      }
    }))
    t.equal((await store.get('count'))?.value, '90')
  })

  rule('what is removed is gone, needs its revision, and may come again', async (t, store) => {
    const entry = await store.put('a', 'one', 0)
    t.notOk(await store.remove('a', 999))
    t.ok(await store.remove('a', entry?.revision ?? -1))
    t.equal(await store.get('a'), undefined)
    t.same(await store.list('a'), [])
    t.notOk(await store.remove('a', entry?.revision ?? -1))
    const again = await store.put('a', 'two', 0)
    t.ok((again?.revision ?? 0) > (entry?.revision ?? 0), 'a revision means one value for all time')
  })

  rule('a list has what is below a prefix, in order, and nothing beside it', async (t, store) => {
    for (const key of ['b/2', 'b/10', 'b/1/x', 'bb/1', 'b', 'c/1']) await store.put(key, key, 0)
    t.same((await store.list('b')).map(({ key }) => key), ['b/1/x', 'b/10', 'b/2'])
    t.same(await store.list('nothing'), [])
  })

  rule('a watch tells all that is there, then others’ changes below its prefix, and of nothing else', async (t, store, open) => {
    const other = await open()
    await other.put('nodes/before', 'x', 0)
    const told: string[] = []
    const watch = await store.watch('nodes', {
      all: (entries) => told.push(`all ${entries.map(({ key }) => key).join(' ')}`),
      put: ({ key, value }) => told.push(`${key} ${value}`),
      removed: (key) => told.push(`${key} removed`),
      away: (why) => t.fail(why),
      back: () => t.fail('it was not away'),
    })
    t.same(told, ['all nodes/before'])
    const entry = await other.put('nodes/one', '1', 0)
    await other.put('nodesx/two', '2', 0)
    await until(() => told.length >= 2)
    await other.put('nodes/three', '3', 0)
    await other.remove('nodes/one', entry?.revision ?? -1)
    await until(() => told.length >= 4)
    t.same(told.slice(1), ['nodes/one 1', 'nodes/three 3', 'nodes/one removed'])
    watch.close()
    await other.put('nodes/three', '4', (await other.get('nodes/three'))?.revision ?? -1)
    const after = await mirrored(t, store, 'nodes')
    await until(() => after.get('nodes/three') === '4')
    t.equal(told.length, 4, 'a watch that is closed tells nothing')
  })

  rule('who waits for a watch to catch up has been told of all that others had changed', async (t, store, open) => {
    const other = await open()
    const copy = new Map<string, string>()
    const watch = await mirror(store, 'm', { put: ({ key, value }) => copy.set(key, value), removed: (key) => copy.delete(key) })
    await watch.caughtUp()
    for (let turn = 0; turn < 20; turn++) {
      const entry = await other.put('m/a', String(turn), 0)
      await watch.caughtUp()
      t.equal(copy.get('m/a'), String(turn))
      await other.remove('m/a', entry?.revision ?? -1)
      await Promise.all([watch.caughtUp(), watch.caughtUp()])
      t.equal(copy.size, 0)
    }
    watch.close()
  })

  rule('a mirror has what the store has, of many writers’ changes at once, and no key goes back in time', async (t, store, open) => {
    const writers = await Promise.all([1, 2, 3].map(async () => await open()))
    const random = seededRandom(1)
    const keys = Array.from({ length: 8 }, (_, index) => `m/${index % 2}/${index}`)
    const revisions = new Map<string, number>()
    const copy = new Map<string, string>()
    const begin = async (): Promise<{ close(): void }> => await mirror(store, 'm', {
      put: ({ key, value, revision }) => {
        if (revision <= (revisions.get(key) ?? 0)) t.fail(`${key}: ${revision} after ${revisions.get(key)}`)
        revisions.set(key, revision)
        copy.set(key, value)
      },
      removed: (key) => {
        if (!copy.delete(key)) t.fail(`${key} was removed, and not there`)
      },
    })
    const write = async (writer: Store): Promise<void> => {
      for (let change = 0; change < 60; change++) {
        const key = keys[random(keys.length)] ?? ''
        const revision = (await writer.get(key))?.revision ?? 0
        if (revision > 0 && random(10) < 3) await writer.remove(key, revision)
        else await writer.put(key, String(change), revision)
      }
    }
    const writing = Promise.all(writers.map(write))
    const watch = await begin()
    await writing
    const wanted = await store.list('m')
    const isSame = (): boolean => copy.size === wanted.length && wanted.every(({ key, value }) => copy.get(key) === value)
    await until(isSame)
    t.ok(isSame())
    watch.close()
  })

  rule('a snapshot is of one moment, and has nothing that is under a lease', async (t, store, open) => {
    const [writer, lease] = [await open(), await store.lease({ ttlMs: 10_000, lost: (why) => t.fail(why) })]
    await lease.put('held/a', 'x')
    await Promise.all(Array.from({ length: 250 }, async (_, index) => await store.put(`m/${String(index).padStart(3, '0')}`, '0', 0)))
    const set = async (key: string, value: number): Promise<void> => {
      await writer.put(key, String(value), (await writer.get(key))?.revision ?? 0)
    }
    const writing = (async (): Promise<void> => {
      for (let turn = 1; turn <= 15; turn++) for (const key of ['m/000', 'm/249', 'm/100']) await set(key, turn)
      await writer.remove('m/200', (await writer.get('m/200'))?.revision ?? -1)
    })()
    const snapshot = await store.snapshot()
    const valueOf = (key: string): number => Number(snapshot.find((entry) => entry.key === key)?.value)
    const [first, second, third] = [valueOf('m/000'), valueOf('m/249'), valueOf('m/100')]
    t.ok(first >= second && second >= third && third >= first - 1, `${first} ${second} ${third}`)
    await writing
    const after = await store.snapshot()
    t.equal(after.length, 249)
    t.same(after, await store.list('m'))
    await lease.close()
  })

  rule('what is put under a lease is seen by all while its holder lives, and goes when it closes', async (t, store, open) => {
    const other = await open()
    const seen = await mirrored(t, other, 'held')
    const lease = await store.lease({ ttlMs: storeLimits.leaseTtlMsMin, lost: (why) => t.fail(why) })
    await lease.put('held/a', 'one')
    await lease.put('held/a', 'two')
    await lease.put('held/b', '')
    t.match(await other.list('held'), [{ key: 'held/a', value: 'two' }, { key: 'held/b', value: '' }])
    t.same(await other.get('held/a'), await store.get('held/a'))
    await until(() => seen.get('held/a') === 'two' && seen.has('held/b'))
    await lease.remove('held/b')
    await lease.remove('held/b')
    t.equal(await other.get('held/b'), undefined)
    await until(() => !seen.has('held/b'))
    await lease.close()
    await lease.close()
    t.same(await other.list('held'), [])
    await until(() => seen.size === 0)
    await t.rejects(lease.put('held/a', 'three'), { code: 'STORE_UNAVAILABLE', message: /the lease holds no more.*expected a new one/ })
  })

  rule('calls of one holder for one key take effect in their order', async (t, store) => {
    const lease = await store.lease({ ttlMs: storeLimits.leaseTtlMsMin, lost: (why) => t.fail(why) })
    await Promise.all(Array.from({ length: 30 }, async (_, turn) => await (turn % 3 === 2 ? lease.remove('held/a') : lease.put('held/a', String(turn)))))
    t.equal(await store.get('held/a'), undefined)
    await Promise.all(Array.from({ length: 30 }, async (_, turn) => await lease.put('held/a', String(turn))))
    t.match(await store.get('held/a'), { value: '29' })
    await lease.close()
  })

  rule('a holder puts thousands of keys at once, and a watcher sees them all come and go', async (t, store, open) => {
    const seen = await mirrored(t, await open(), 'held')
    const lease = await store.lease({ ttlMs: 10_000, lost: (why) => t.fail(why) })
    await Promise.all(Array.from({ length: 3_000 }, async (_, index) => await lease.put(`held/${index % 10}/${index}`, String(index))))
    await until(() => seen.size === 3_000)
    await lease.close()
    await until(() => seen.size === 0)
    t.same(await store.list('held'), [])
  })

  rule('a lease is renewed by itself, and one whose holder has gone runs out, for watchers too', async (t, store, open) => {
    const gone = await open()
    const ttlMs = storeLimits.leaseTtlMsMin
    await (await gone.lease({ ttlMs, lost: () => undefined })).put('held/gone', 'x')
    const lease = await store.lease({ ttlMs, lost: (why) => t.fail(why) })
    await lease.put('held/stays', 'x')
    const seen = await mirrored(t, store, 'held')
    t.same([...seen.keys()], ['held/gone', 'held/stays'])
    await gone.close()
    await until(() => !seen.has('held/gone'))
    t.same((await store.list('held')).map(({ key }) => key), ['held/stays'])
    await lease.close()
  })

  rule('a key that its holder has left is another’s, and the first one’s end does not take it', async (t, store, open) => {
    const options = { ttlMs: storeLimits.leaseTtlMsMin, lost: () => undefined }
    const [first, second] = [await store.lease(options), await (await open()).lease(options)]
    await first.put('held/a', 'first')
    await second.put('held/a', 'second')
    t.match(await store.get('held/a'), { value: 'second' })
    await first.remove('held/a')
    t.match(await store.get('held/a'), { value: 'second' })
    await first.close()
    t.match(await store.list('held'), [{ value: 'second' }])
    await second.close()
    t.equal(await store.get('held/a'), undefined)
  })

  rule('values are kept as they are, and keys and values have limits', async (t, store) => {
    const value = `{"name":"ü\u0000\n"}${'x'.repeat(10_000)}`
    await store.put('a', value, 0)
    t.equal((await store.get('a'))?.value, value)
    await store.put('empty', '', 0)
    t.equal((await store.get('empty'))?.value, '')
    for (const key of ['', '/', 'a/', '/a', 'a//b', '..', 'a/../b', 'a b', 'a@', 'ä', 'x'.repeat(storeLimits.keyCharactersMax + 1)]) {
      await t.rejects(store.put(key, 'x', 0), { code: 'STORE_MISUSE' }, JSON.stringify(key))
    }
    await t.rejects(store.put('b', 'x'.repeat(storeLimits.valueBytesMax + 1), 0), { code: 'STORE_MISUSE' })
    await t.rejects(store.lease({ ttlMs: storeLimits.leaseTtlMsMin - 1, lost: () => undefined }), { code: 'STORE_MISUSE' })
  })
}

/** A copy by `mirror`, until the test's end. */
async function mirrored(t: Test, store: Store, prefix: string): Promise<ReadonlyMap<string, string>> {
  const copy = new Map<string, string>()
  const watch = await mirror(store, prefix, { put: ({ key, value }) => copy.set(key, value), removed: (key) => copy.delete(key) })
  t.teardown(() => watch.close())
  return copy
}
