import { test } from 'tap'
import { LimitRows } from '../../../src/core/limit/limit-rows.ts'
import type { SnapshotChange } from '../../../src/core/snapshot.ts'
import { changeOf, tenant } from '../../support/config.ts'

function rowsOf(rows: LimitRows, names: readonly string[], removedTenants: SnapshotChange['removedTenants'] = 'all-others'): (number | undefined)[] {
  return rows.assign({ ...changeOf({ tenants: names.map((name) => tenant(name, [])) }), removedTenants }).tenants.map(({ limitRow }) => limitRow)
}

void test('a tenant keeps its row from change to change, and gets it back while its connections are open', async (t) => {
  const tables = { listeners: new Int32Array(8), tenants: new Int32Array(4) }
  const rows = new LimitRows(tables)
  t.same(rowsOf(rows, ['a', 'b', 'c']), [0, 1, 2])
  t.same(rowsOf(rows, ['b'], []), [1])
  tables.tenants[1] = 5
  t.same(rowsOf(rows, ['d'], ['a', 'b']), [0], 'the row of one that has nothing open')
  t.same(rowsOf(rows, ['e', 'f'], []), [3, 3], 'no row is left: they share the last, which holds for all of them together')
  t.same(rowsOf(rows, ['b'], []), [1])
  tables.tenants[1] = 0
  t.same(new Set(rowsOf(rows, ['g', 'h', 'i'])), new Set([0, 1, 2]), 'all have left')
})

void test('listeners have rows of their own', async (t) => {
  const rows = new LimitRows({ listeners: new Int32Array(4), tenants: new Int32Array(4) })
  const change = changeOf({ tenants: [tenant('a', [])] })
  const [first] = change.listeners
  if (first === undefined) throw new Error('unreachable')
  const assigned = rows.assign({ ...change, listeners: [first, { ...first, name: 'b:1' }] })
  t.same(assigned.listeners.map(({ limitRow }) => limitRow), [0, 1])
})
