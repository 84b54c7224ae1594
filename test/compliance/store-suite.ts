// What every store must do, whoever keeps it.

import { test, type Test } from 'tap'
import { storeLimits, type Store } from '../../src/state/store.ts'
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

  rule('a watch tells of others’ changes below its prefix, and of nothing else', async (t, store, open) => {
    const other = await open()
    await other.put('nodes/before', 'x', 0)
    const seen: string[] = []
    const watch = await store.watch('nodes', (key) => seen.push(key))
    const entry = await other.put('nodes/one', 'x', 0)
    await other.put('nodesx/two', 'x', 0)
    await other.put('nodes/three', 'x', 0)
    await other.remove('nodes/one', entry?.revision ?? -1)
    await until(() => seen.length >= 3)
    t.same(seen, ['nodes/one', 'nodes/three', 'nodes/one'])
    watch.close()
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
  })
}
