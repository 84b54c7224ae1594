import { test } from 'tap'
import { isBusy, isSaturated, mayEnter } from '../../src/core/kernel-lane-policy.ts'

const quiet = { relayedMs: 10_000, bytesPerSecond: 4_000, sinceLeftMs: Infinity, bulkyLeaves: 0 }

void test('a quiet connection enters once it has been relayed for a while, where cores have room', async (t) => {
  t.ok(mayEnter('auto', false, quiet))
  t.notOk(mayEnter('auto', false, { ...quiet, relayedMs: 20 }))
  t.notOk(mayEnter('auto', false, { ...quiet, bytesPerSecond: 500e6 }), 'bulk is splice’s')
  t.notOk(mayEnter('auto', true, quiet))
  t.notOk(mayEnter('off', false, quiet))
  t.ok(mayEnter('always', true, { ...quiet, relayedMs: 0, bytesPerSecond: 1e9, sinceLeftMs: 0, bulkyLeaves: 9 }))
})

void test('after a leave for bulk it waits, each time longer, but not for ever', async (t) => {
  const waitMs = (bulkyLeaves: number): number => {
    let ms = 0
    while (!mayEnter('auto', false, { ...quiet, sinceLeftMs: ms, bulkyLeaves })) ms += 10
    return ms
  }
  t.equal(waitMs(0), 0)
  t.ok(waitMs(1) > 0)
  for (let leaves = 1; leaves < 5; leaves++) t.equal(waitMs(leaves + 1), 2 * waitMs(leaves))
  t.equal(waitMs(200), waitMs(255))
})

void test('many connections at once saturate only full cores, and it takes more to be open again', async (t) => {
  t.ok(isSaturated(false, 60, 0.02))
  t.notOk(isSaturated(false, 60, 0.6), 'many that say little')
  t.notOk(isSaturated(false, 4, 0), 'few that use all that there is')
  t.notOk(isBusy(4), 'so the cores need not be asked')
  t.ok(isSaturated(true, 60, 0.15))
  t.notOk(isSaturated(true, 60, 0.5))
  t.notOk(isSaturated(true, 4, 0))
})
