// The rings by which threads tell of what dials came to: whose, of which kind, and what a full one loses.

import fc from 'fast-check'
import { test } from 'tap'
import { createActiveCells, SharedActiveCounts } from '../../../src/core/balance/active-counts.ts'
import { addDialNews, createDialNewsCells, dialNewsKinds, DialNewsReader } from '../../../src/core/balance/dial-news.ts'
import { failedBit, heldBit, startingSlowly } from '../../../src/core/balance/endpoint-states.ts'
import type { Endpoint } from '../../../src/core/balance/endpoint.ts'
import { endpoint } from '../../support/config.ts'

function inRow(row: number): Endpoint {
  return endpoint(6443, { row })
}

void test('what threads tell is read once, each row once, and the kinds apart', async (t) => {
  const cells = createDialNewsCells(2)
  const reader = new DialNewsReader(cells)
  for (const [thread, row, kind] of [[0, 7, 'dial'], [1, 7, 'dial'], [0, 0, 'answer'], [1, 999_999, 'answer'], [0, 7, 'answer'], [1, 3, 'connected']] as const) addDialNews(cells, thread, inRow(row), kind)
  addDialNews(cells, 0, endpoint(6443), 'dial')
  t.same(reader.take(), { dial: new Set([7]), answer: new Set([7, 0, 999_999]), connected: new Set([3]) })
  t.same(reader.take(), { dial: new Set(), answer: new Set(), connected: new Set() })
})

void test('a dial that succeeds is no news, but where its endpoint is down', async (t) => {
  const cells = createActiveCells(2)
  for (const [row, state] of [0, startingSlowly(16), heldBit, failedBit].entries()) cells.states[row] = state
  const counts = new SharedActiveCounts(cells, 1)
  for (const row of [0, 1, 2, 3]) counts.connected(inRow(row))
  counts.connected(endpoint(6443))
  t.same(new DialNewsReader(cells.dialNews).take(), { dial: new Set(), answer: new Set(), connected: new Set([3]) })
})

void test('a ring that came round has the last ones, and so has one whose count began anew', async (t) => {
  const cells = createDialNewsCells(1)
  const reader = new DialNewsReader(cells)
  for (let row = 0; row < 3_000; row++) addDialNews(cells, 0, inRow(row), 'dial')
  const { dial } = reader.take()
  t.equal(dial.size, 1_024)
  t.ok(dial.has(2_999) && dial.has(2_999 - 1_023))
  // Before the count's end.
  cells[0] = 0x7fffffff
  new DialNewsReader(cells).take()
  const late = new DialNewsReader(cells)
  late.take()
  for (const row of [4, 5]) addDialNews(cells, 0, inRow(row), 'answer')
  t.same(late.take().answer, new Set([4, 5]))
  t.equal(cells[0], 1)
})

void test('up to a ring between two looks, nothing is lost', async () => {
  fc.assert(fc.property(fc.array(fc.array(fc.tuple(fc.nat(2), fc.nat(5_000), fc.constantFrom(...dialNewsKinds)), { maxLength: 1_024 }), { maxLength: 5 }), (looks) => {
    const cells = createDialNewsCells(3)
    const reader = new DialNewsReader(cells)
    return looks.every((told) => {
      for (const [thread, row, kind] of told) addDialNews(cells, thread, inRow(row), kind)
      const read = reader.take()
      return dialNewsKinds.every((kind) => {
        const expected = new Set(told.filter((each) => each[2] === kind).map(([, row]) => row))
        return expected.size === read[kind].size && [...expected].every((row) => read[kind].has(row))
      })
    })
  }))
})
