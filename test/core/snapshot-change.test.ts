// Changes of a snapshot: what they make of it, what they leave alone, and that many small ones come to the same as one.

import fc from 'fast-check'
import { test } from 'tap'
import { applySnapshotChange, snapshotChangeSteps } from '../../src/core/snapshot-change.ts'
import type { Snapshot, SnapshotChange, TenantSpec } from '../../src/core/snapshot.ts'
import { changeOf, endpoint, inTurn, listener, snapshotOf, tenant } from '../support/config.ts'

const endpoints = [endpoint(1), endpoint(2), endpoint(3)]

function changed(snapshot: Snapshot, change: Partial<SnapshotChange>): Snapshot {
  return applySnapshotChange(snapshot, { version: snapshot.version + 1, listeners: [], tenants: [], removedTenants: [], ...change })
}

function tenantOf(snapshot: Snapshot, hostname: string): string | undefined {
  return snapshot.hostnames.lookup(hostname)?.value.name
}

void test('a change adds, replaces and removes tenants, with their hostnames, and leaves the snapshot before as it was', async (t) => {
  const before = snapshotOf({ tenants: [tenant('acme', endpoints, { hostnames: ['a.example.com', '*.a.example.com'] }), tenant('globex', endpoints), tenant('initech', endpoints)] })
  const after = changed(before, {
    tenants: [tenant('acme', endpoints, { hostnames: ['a.example.com', 'b.example.com'], idleTimeoutMs: 60_000 }), tenant('hooli', endpoints)],
    removedTenants: ['initech'],
  })
  t.same([before.version, after.version], [1, 2])
  t.same([before.tenants.size, after.tenants.size, before.hostnames.size, after.hostnames.size], [3, 3, 4, 4])
  const names = ['a.example.com', 'x.a.example.com', 'b.example.com', 'globex.example.test', 'initech.example.test', 'hooli.example.test']
  t.same(names.map((name) => tenantOf(before, name)), ['acme', 'acme', undefined, 'globex', 'initech', undefined])
  t.same(names.map((name) => tenantOf(after, name)), ['acme', undefined, 'acme', 'globex', undefined, 'hooli'])
  t.equal(after.hostnames.lookup('a.example.com')?.value, after.tenants.get('acme'), 'one policy')
  t.same([before.tenants.get('acme')?.idleTimeoutMs, after.tenants.get('acme')?.idleTimeoutMs], [3_600_000, 60_000])
  t.equal(after.tenants.get('globex'), before.tenants.get('globex'), 'what has not changed is shared')
})

void test('a change of everything leaves no other tenant', async (t) => {
  const before = snapshotOf({ tenants: [tenant('acme', endpoints), tenant('globex', endpoints)] })
  const after = changed(before, { tenants: [tenant('globex', endpoints)], removedTenants: 'all-others' })
  t.same([after.tenants.size, after.hostnames.size, tenantOf(after, 'acme.example.test'), tenantOf(after, 'globex.example.test')], [1, 1, undefined, 'globex'])
})

void test('a hostname moves from one tenant to another in one change', async (t) => {
  const before = snapshotOf({ tenants: [tenant('acme', endpoints), tenant('globex', endpoints)] })
  const swapped = [tenant('acme', endpoints, { hostnames: ['globex.example.test'] }), tenant('globex', endpoints, { hostnames: ['acme.example.test'] })]
  const after = changed(before, { tenants: swapped })
  t.same([tenantOf(after, 'acme.example.test'), tenantOf(after, 'globex.example.test')], ['globex', 'acme'])
  t.throws(() => changed(before, { tenants: swapped.slice(1) }), { code: 'DUPLICATE_HOSTNAME' }, 'a change of another snapshot')
})

void test('tenants of one pool begin at different endpoints, the same after each start, and other threads at others', async (t) => {
  const names = Array.from({ length: 300 }, (_, index) => `t${index}`)
  const change = changeOf({ tenants: names.map((name) => tenant(name, endpoints)) })
  const firsts = (schedulerOffset: number): (number | undefined)[] => {
    const { tenants } = applySnapshotChange(undefined, change, { schedulerOffset })
    return names.map((name) => tenants.get(name)?.scheduler.pick([], '192.0.2.1')?.port)
  }
  const counts = [1, 2, 3].map((port) => firsts(0).filter((first) => first === port).length)
  t.ok(Math.min(...counts) > 70, counts.join(' '))
  t.same(firsts(0), firsts(0))
  t.same(firsts(1), firsts(0).map((port) => (port ?? 0) % 3 + 1))
})

void test('a scheduler keeps its place over a change while the tenant’s endpoints stay the same', async (t) => {
  const acme = tenant('acme', inTurn('acme', endpoints))
  const first = snapshotOf({ tenants: [acme] })
  t.equal(first.tenants.get('acme')?.scheduler.pick([], '192.0.2.1')?.port, 1)
  for (const removedTenants of [[], 'all-others'] as const) {
    const same = changed(first, { tenants: [tenant('globex', endpoints), structuredClone({ ...acme, idleTimeoutMs: 60_000 })], removedTenants })
    t.equal(same.tenants.get('acme')?.scheduler, first.tenants.get('acme')?.scheduler)
    t.equal(same.tenants.get('acme')?.idleTimeoutMs, 60_000, 'its settings are new')
  }
  t.equal(first.tenants.get('acme')?.scheduler.pick([], '192.0.2.1')?.port, 2)
  for (const other of [endpoints.slice(1), [endpoint(1, { weight: 0 }), ...endpoints.slice(1)]]) {
    t.not(changed(first, { tenants: [tenant('acme', other)] }).tenants.get('acme')?.scheduler, first.tenants.get('acme')?.scheduler)
  }
})

void test('hostnames and default tenants lead to the tenant’s one policy, also when only the tenant has changed', async (t) => {
  const listeners = [listener({ name: 'x', defaultTenant: 'acme', proxyProtocol: { trustedSources: ['192.0.2.0/24'] } })]
  const sources = { allowedSources: ['10.0.0.0/8'] }
  const change = changeOf({ listeners, tenants: [tenant('acme', endpoints, sources), tenant('globex', endpoints, sources)], helloMs: 1_234 })
  const before = applySnapshotChange(undefined, change)
  const after = changed(before, { listeners: change.listeners, tenants: [tenant('acme', endpoints, { ...sources, attemptsMax: 1 })] })
  for (const { tenants, hostnames, listeners } of [before, after]) {
    const acme = tenants.get('acme')
    t.equal(hostnames.lookup('acme.example.test')?.value, acme)
    t.equal(listeners.get('x')?.defaultTenant, acme)
    t.equal(listeners.get('x')?.helloTimeoutMs, 1_234)
    t.ok(listeners.get('x')?.proxyProtocolTrustedSources?.contains('192.0.2.9'))
    t.ok(acme?.allowedSources?.contains('10.1.2.3'))
    t.equal(acme?.allowedSources, tenants.get('globex')?.allowedSources, 'equal lists share one set, over changes too')
  }
  t.equal(after.listeners.get('x')?.defaultTenant?.attemptsMax, 1)
  t.equal(changed(after, { listeners: change.listeners, removedTenants: ['acme'] }).listeners.get('x')?.defaultTenant, undefined)
})

void test('tunnel hostnames are those of the last change', async (t) => {
  const before = snapshotOf({ tenants: [], tunnelHostnames: ['tunnel.example.test', 'tunnel2.example.test'] })
  t.same([...before.tunnelHostnames], ['tunnel.example.test', 'tunnel2.example.test'])
  t.same([...changed(before, { tunnelHostnames: ['tunnel3.example.test'] }).tunnelHostnames], ['tunnel3.example.test'])
  t.same([...changed(before, {}).tunnelHostnames], [])
})

void test('a large change is made in steps, and comes to the same', async (t) => {
  const change = changeOf({ tenants: Array.from({ length: 2_000 }, (_, index) => tenant(`t${index}`, endpoints)) })
  t.ok([...snapshotChangeSteps(undefined, change)].length >= 3)
  const before = applySnapshotChange(undefined, change)
  t.equal(before.tenants.size, 2_000)
  t.ok([...snapshotChangeSteps(before, { ...change, removedTenants: [] })].length >= 6, 'also where all of them go before they come')
})

/** Few names and hostnames, so that they meet; each hostname once. */
const tenantLists: fc.Arbitrary<readonly TenantSpec[]> = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 5 }).chain((names) =>
  fc.tuple(fc.shuffledSubarray(['1', '2', '*.1', '*.2', '3', '4', '5', '6'], { minLength: names.length }), fc.array(fc.nat(2), { minLength: 5, maxLength: 5 })).map(([hostnames, attempts]) =>
    names.map((name, index) => tenant(name, endpoints, { hostnames: index === 0 ? hostnames.slice(names.length - 1) : hostnames.slice(index - 1, index), attemptsMax: 1 + (attempts[index] ?? 0) }))))

function contents({ tenants, hostnames }: Snapshot): unknown {
  return {
    sizes: [tenants.size, hostnames.size],
    tenants: ['a', 'b', 'c', 'd', 'e'].map((name) => tenants.get(name)).map((policy) => policy === undefined ? undefined : [policy.name, policy.hostnames, policy.attemptsMax]),
    hostnames: ['1', '2', 'x.1', 'x.2', '3', '4', '5', '6'].map((name) => hostnames.lookup(name)).map((match) => [match?.pattern, match?.value.name, match?.value.attemptsMax]),
  }
}

void test('any run of changes comes to what the last configuration alone makes', async () => {
  fc.assert(fc.property(fc.array(tenantLists, { minLength: 1, maxLength: 6 }), (lists) => {
    let running: Snapshot | undefined
    let before: readonly TenantSpec[] = []
    return lists.every((tenants, index) => {
      const names = new Set(tenants.map(({ name }) => name))
      running = applySnapshotChange(running, {
        version: index + 1, listeners: [],
        tenants: tenants.filter((spec) => !before.some((other) => JSON.stringify(other) === JSON.stringify(spec))),
        removedTenants: before.flatMap(({ name }) => names.has(name) ? [] : [name]),
      })
      before = tenants
      return JSON.stringify(contents(running)) === JSON.stringify(contents(snapshotOf({ tenants })))
    })
  }), { numRuns: 500 })
})
