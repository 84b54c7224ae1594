import { test } from 'tap'
import { ListenerTable, listenerRowsMax, otherListeners } from '../../src/core/listener-table.ts'

void test('a name has the same row wherever it is looked up, whenever it was added', async (t) => {
  const table = new ListenerTable()
  const elsewhere = new ListenerTable(table.buffer)
  for (const name of ['[::]:6443', '0.0.0.0:7443', '[::]:6443']) table.add(name)
  t.same([...table.names()], [[0, '[::]:6443'], [1, '0.0.0.0:7443']])
  t.same([elsewhere.rowOf('0.0.0.0:7443'), elsewhere.rowOf('[::]:6443')], [1, 0])
  table.add('[2001:db8::1]:6443')
  t.equal(elsewhere.rowOf('[2001:db8::1]:6443'), 2, 'added after the other thread began to look')
  t.same(elsewhere.names(), table.names())
})

void test('what finds no row shares the last one, and is called other', async (t) => {
  const table = new ListenerTable()
  for (let port = 1; port < listenerRowsMax; port++) table.add(`127.0.0.1:${port}`)
  t.equal(table.rowOf(`127.0.0.1:${listenerRowsMax - 1}`), listenerRowsMax - 2)
  t.equal(table.names().size, listenerRowsMax - 1, 'full, and none is left out')
  table.add('127.0.0.1:9999')
  t.equal(table.rowOf('127.0.0.1:9999'), listenerRowsMax - 1)
  t.same([...table.names()].at(-1), [listenerRowsMax - 1, otherListeners])
})

void test('a name that was never added, or is longer than any address, is counted as other in all threads', async (t) => {
  const table = new ListenerTable()
  table.add('x'.repeat(1_000))
  table.add('a:1')
  const elsewhere = new ListenerTable(table.buffer)
  for (const name of ['x'.repeat(1_000), 'unheard-of:1']) t.equal(elsewhere.rowOf(name), listenerRowsMax - 1)
  t.same([...elsewhere.names()], [[0, 'a:1'], [listenerRowsMax - 1, otherListeners]])
})
