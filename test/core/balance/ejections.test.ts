// Ejections by the clock: how long each is, how an endpoint comes back, and when the next time is a first one again.

import { test } from 'tap'
import { Ejections, mayEject, type EjectionSpec } from '../../../src/core/balance/ejections.ts'
import { shareParts } from '../../../src/core/balance/endpoint-states.ts'

const spec: EjectionSpec = { failures: 5, timeMs: 1_000, sharePercent: 50 }

void test('each time in a row is longer by as much as the first one, up to ten times', async (t) => {
  const ejections = new Ejections()
  let nowMs = 0
  for (let times = 1; times <= 12; times++) {
    const forMs = Math.min(times, 10) * 1_000
    t.equal(ejections.begin(7, spec, nowMs), forMs)
    t.ok(ejections.isOut(7))
    t.same(ejections.step(nowMs + forMs - 1).back, [])
    nowMs += forMs
    t.same(ejections.step(nowMs).back, [7])
    t.notOk(ejections.isOut(7))
  }
})

void test('one that is back starts slowly, and after ten times its time it was never out', async (t) => {
  const ejections = new Ejections()
  ejections.begin(7, { ...spec, timeMs: 16_000 }, 0)
  t.equal(ejections.partsOf(7), shareParts)
  ejections.step(16_000)
  const parts = Array.from({ length: 16 }, (_, second) => {
    const { back, grown } = ejections.step(16_000 + second * 1_000)
    t.same([back, grown], [[], second === 0 ? [] : [7]])
    return ejections.partsOf(7)
  })
  t.same(parts, Array.from({ length: 16 }, (_, step) => 16 * (step + 1)))
  ejections.step(16_000 + 159_999)
  t.equal(ejections.begin(7, { ...spec, timeMs: 16_000 }, 200_000), 32_000, 'not so long as that')
  ejections.step(232_000)
  ejections.step(232_000 + 160_000)
  t.equal(ejections.begin(7, { ...spec, timeMs: 16_000 }, 400_000), 16_000)
})

void test('what is forgotten is nobody’s', async (t) => {
  const ejections = new Ejections()
  ejections.begin(7, spec, 0)
  ejections.begin(8, spec, 0)
  ejections.forget(7)
  t.same([ejections.isOut(7), ejections.isOut(8), ejections.isOut(9)], [false, true, false])
  t.same(ejections.step(1_000), { back: [8], grown: [] })
})

void test('one may always be out but for the last, and more as long as they are a share', async (t) => {
  for (const [eligible, failed, ejected, sharePercent, expected] of [
    [1, 0, 0, 100, false], [2, 0, 0, 1, true], [2, 1, 1, 100, false], [2, 1, 0, 100, false], [3, 1, 1, 50, false], [4, 1, 1, 50, true], [4, 2, 2, 50, false], [200, 19, 19, 10, true], [200, 20, 20, 10, false],
  ] as const) t.equal(mayEject({ eligible, failed, ejected }, { ...spec, sharePercent }), expected, JSON.stringify({ eligible, failed, ejected, sharePercent }))
})
