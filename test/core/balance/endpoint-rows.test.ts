// Rows for endpoints: who keeps one, who gets one that another had; and counts that threads share by them.

import fc from 'fast-check'
import { test } from 'tap'
import { activeInRow, clearActiveOf, createActiveCells, SharedActiveCounts } from '../../../src/core/balance/active-counts.ts'
import { EndpointRows } from '../../../src/core/balance/endpoint-rows.ts'
import type { SnapshotChange, TenantSpec } from '../../../src/core/snapshot.ts'
import { endpoint, tenant } from '../../support/config.ts'

function change(tenants: readonly TenantSpec[], removedTenants: SnapshotChange['removedTenants'] = []): SnapshotChange {
  return { version: 1, listeners: [], tenants, removedTenants }
}

function rowsOf({ tenants }: SnapshotChange): (number | undefined)[][] {
  return tenants.map(({ endpoints }) => endpoints.map(({ row }) => row))
}

void test('an endpoint keeps its row as long as its tenant has it, wherever it stands', async (t) => {
  const rows = new EndpointRows(createActiveCells(1))
  const of = (...args: Parameters<typeof change>): (number | undefined)[][] => rowsOf(rows.give(change(...args)).change)
  t.same(of([tenant('acme', [endpoint(1), endpoint(2)]), tenant('globex', [endpoint(1)])]), [[0, 1], [2]])
  t.same(of([tenant('acme', [endpoint(3), endpoint(2), endpoint(1, { weight: 0 })])]), [[3, 1, 0]])
  t.same(of([tenant('acme', [endpoint(1)])], 'all-others'), [[0]])
  t.same(of([tenant('globex', [endpoint(1)])]), [[2]], 'one that nobody has any more comes again')
  t.same(of([], ['acme', 'globex', 'nobody']), [])
})

void test('a row in which connections are still counted goes to another endpoint last', async (t) => {
  const cells = createActiveCells(2)
  const rows = new EndpointRows(cells, 3)
  const counts = new SharedActiveCounts(cells, 1)
  const { change: first } = rows.give(change([tenant('acme', [endpoint(1), endpoint(2)])]))
  for (const each of first.tenants[0]?.endpoints ?? []) if (each.port === 1) counts.began(each)
  rows.give(change([], ['acme']))
  t.same(rowsOf(rows.give(change([tenant('globex', [endpoint(1), endpoint(2), endpoint(3)])])).change), [[1, 2, 0]])
})

void test('where rows are used up a tenant has none at all, until others have left', async (t) => {
  const rows = new EndpointRows(createActiveCells(1), 3)
  const { change: full, without } = rows.give(change([tenant('acme', [endpoint(1), endpoint(2)]), tenant('globex', [endpoint(1), endpoint(2)])]))
  t.same(rowsOf(full), [[0, 1], [undefined, undefined]])
  t.equal(without, 1)
  const { change: later, without: none } = rows.give(change([tenant('globex', [endpoint(1), endpoint(2)])], ['acme']))
  t.ok(rowsOf(later).flat().every((row) => row !== undefined))
  t.equal(none, 0)
})

void test('threads count together, and what one that died has counted is taken away', async (t) => {
  const cells = createActiveCells(3)
  const { change: given } = new EndpointRows(cells).give(change([tenant('acme', [endpoint(1), endpoint(2)])]))
  const [one, two] = given.tenants[0]?.endpoints ?? []
  if (one === undefined || two === undefined) return
  const threads = [0, 1, 2].map((thread) => new SharedActiveCounts(cells, thread))
  for (const thread of threads) thread.began(one)
  threads[1]?.began(two)
  t.same(threads.map((thread) => [thread.of(one), thread.of(two)]), [[3, 1], [3, 1], [3, 1]])
  clearActiveOf(cells, 1)
  t.same([activeInRow(cells, 0), activeInRow(cells, 1)], [2, 0])
  threads[0]?.ended(one)
  threads[2]?.ended(one)
  t.same([activeInRow(cells, 0), activeInRow(cells, 1)], [0, 0])
  const uncounted = endpoint(9)
  threads[0]?.began(uncounted)
  t.equal(threads[0]?.of(uncounted), 0, 'without a row it counts as empty')
})

void test('over any changes no two endpoints share a row', async () => {
  const ports = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 5 })
  fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom('acme', 'globex', 'initech'), fc.option(ports, { nil: undefined })), { maxLength: 40 }), (steps) => {
    const rows = new EndpointRows(createActiveCells(1), 15)
    const given = new Map<string, (number | undefined)[]>()
    return steps.every(([name, its]) => {
      const { change: made, without } = rows.give(its === undefined ? change([], [name]) : change([tenant(name, its.map((port) => endpoint(port)))]))
      given.delete(name)
      for (const each of made.tenants) given.set(each.name, each.endpoints.map(({ row }) => row))
      const taken = [...given.values()].flat()
      return without === 0 && !taken.includes(undefined) && new Set(taken).size === taken.length && Math.max(0, ...taken.map((row) => row ?? 0)) < 15
    })
  }))
})
