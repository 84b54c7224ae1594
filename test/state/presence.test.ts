// What gateways know of each other by a store; here the one of files, and what every store must do for it is in compliance/store-suite.ts.

import { join } from 'node:path'
import { test, type Test } from 'tap'
import type { ReachableFacts } from '../../src/core/tunnel/presence-record.ts'
import { FileStore } from '../../src/state/file/file-store.ts'
import { Presence } from '../../src/state/presence.ts'
import { StoreUnavailableError, type Lease, type LeaseOptions, type Store } from '../../src/state/store.ts'
import { until } from '../support/sockets.ts'

interface TestPresence {
  readonly presence: Presence
  /** Of the others, as this one has been told. */
  readonly gateways: Set<string>
  readonly sessions: Map<string, { readonly gateway: string; readonly session: ReachableFacts }>
  readonly failures: string[]
}

const session = (id: string, node = 'worker-1'): ReachableFacts => ({ id, tenant: 'acme', node, keyId: `key of ${node}`, sinceMs: 1, announced: { addresses: ['192.0.2.1'], ranges: [], names: [] } })

async function present(t: Test, store: Store, id: string): Promise<TestPresence> {
  const [gateways, sessions, failures] = [new Set<string>(), new Map<string, { gateway: string; session: ReachableFacts }>(), [] as string[]]
  const presence = new Presence({
    store, own: { id, publicKey: new Uint8Array(32), at: { host: '192.0.2.1', port: 6443 } },
    others: {
      gatewaySeen: (gateway) => void gateways.add(gateway.id),
      gatewayGone: (gone) => void gateways.delete(gone),
      sessionSeen: (gateway, its) => void sessions.set(its.id, { gateway, session: its }),
      sessionGone: (gone) => void sessions.delete(gone),
    },
    failed: (error, context) => void failures.push(`${context}: ${String(error)}`),
  })
  t.teardown(async () => await presence.close())
  return { presence, gateways, sessions, failures }
}

async function openStore(t: Test): Promise<Store> {
  const store = await FileStore.open(join(t.testdir(), 'state'))
  t.teardown(() => store.close())
  return store
}

void test('gateways see each other and each other’s sessions, whoever was there first', async (t) => {
  const store = await openStore(t)
  const [one, two] = [await present(t, store, 'one'), await present(t, store, 'two')]
  one.presence.began(session('1-early'))
  await one.presence.open()
  await until(() => one.gateways.size === 0)
  one.presence.began(session('1-a'))
  await two.presence.open()
  await until(() => one.gateways.has('two') && two.gateways.has('one') && two.sessions.size === 2)
  t.same(two.sessions.get('1-a'), { gateway: 'one', session: session('1-a') })
  two.presence.began(session('2-a', 'worker-2'))
  one.presence.ended('1-a')
  await until(() => one.sessions.has('2-a') && !two.sessions.has('1-a'))
  t.same([...one.sessions.keys()], ['2-a'], 'none is told of its own')
  await one.presence.close()
  await until(() => two.gateways.size === 0 && two.sessions.size === 0)
  t.same([one.failures, two.failures], [[], []])
})

void test('of sessions that come and go all the time, what is left in the end is right', async (t) => {
  const store = await openStore(t)
  const [one, two] = [await present(t, store, 'one'), await present(t, store, 'two')]
  await one.presence.open()
  await two.presence.open()
  for (let round = 0; round < 5; round++) {
    for (let each = 0; each < 100; each++) one.presence.began(session(`s${each}`, `round-${round}`))
    for (let each = 0; each < 100; each++) if ((each + round) % 2 === 0) one.presence.ended(`s${each}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => two.sessions.size === 50 && [...two.sessions.values()].every(({ session: { node } }) => node === 'round-4'))
  t.ok([...two.sessions.keys()].every((id) => Number(id.slice(1)) % 2 === 1))
})

void test('a gateway whose lease has run out takes another, and is there again with all its sessions', async (t) => {
  const store = await openStore(t)
  const leases: LeaseOptions[] = []
  const watched: Store = new Proxy(store, {
    get: (target, name: keyof Store) => name === 'lease'
      ? async (options: LeaseOptions) => {
        leases.push(options)
        return await target.lease(options)
      }
      : target[name].bind(target),
  })
  const [one, two] = [await present(t, watched, 'one'), await present(t, store, 'two')]
  one.presence.began(session('1-a'))
  await one.presence.open()
  await two.presence.open()
  await until(() => two.sessions.size === 1)
  leases[0]?.lost('the test says so')
  one.presence.began(session('1-b'))
  await until(() => leases.length === 2 && two.sessions.size === 2 && two.gateways.has('one'))
  t.match(one.failures, [/lease has run out.*the test says so/])
})

void test('a store that does not take what is written is told of once, however many sessions wait for it', async (t) => {
  const store = await openStore(t)
  let [isDown, refused] = [false, 0]
  const refusing: Store = new Proxy(store, {
    get: (target, name: keyof Store) => name === 'lease'
      ? async (options: LeaseOptions): Promise<Lease> => {
        const lease = await target.lease(options)
        const put: Lease['put'] = async (key, value) => {
          if (!isDown) return await lease.put(key, value)
          refused += 1
          throw new StoreUnavailableError('the test says so')
        }
        return { put, remove: async (key) => await lease.remove(key), close: async () => await lease.close() }
      }
      : target[name].bind(target),
  })
  const [one, two] = [await present(t, refusing, 'one'), await present(t, store, 'two')]
  await one.presence.open()
  await two.presence.open()
  await until(() => two.gateways.has('one'))
  for (let stretch = 1; stretch <= 2; stretch++) {
    isDown = true
    refused = 0
    for (let each = 0; each < 100; each++) one.presence.began(session(`${stretch}-${each}`))
    await until(() => refused > 40)
    t.match(one.failures, Array.from({ length: stretch }, () => /does not take this gateway’s sessions.*the test says so/))
    isDown = false
    await until(() => two.sessions.size === 100 * stretch)
  }
  t.equal(one.failures.length, 2)
})
