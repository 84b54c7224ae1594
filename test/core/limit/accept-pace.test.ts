import { test } from 'tap'
import { AcceptPace, refusedCost } from '../../../src/core/limit/accept-pace.ts'

/** Takes all that may be taken, each millisecond. @returns how many */
function takenIn(ms: number, pace: AcceptPace, cost: number): number {
  let taken = 0
  for (let nowMs = 1; nowMs <= ms; nowMs++) {
    for (let budget = pace.budget(nowMs); budget >= 1; budget -= cost) {
      pace.spend(cost)
      taken += 1
    }
  }
  return taken
}

void test('a storm begins with a pause, and then has four connections a millisecond', async (t) => {
  const pace = new AcceptPace(0)
  t.equal(pace.sliceAtMs, 1)
  t.ok(pace.budget(0.2) < 1)
  t.equal(pace.sliceAtMs, 1)
  t.equal(takenIn(1_000, pace, 1), 4_000)
})

void test('one that is refused counts a quarter', async (t) => {
  const taken = takenIn(1_000, new AcceptPace(0), refusedCost)
  t.ok(taken > 15_990 && taken <= 16_000, `${taken}`)
})

void test('a turn that was long may catch up, but not with all', async (t) => {
  for (const [afterMs, expected] of [[1, 4], [2.5, 10], [16, 64], [1_000, 64]] as const) t.equal(new AcceptPace(0).budget(afterMs), expected, `after ${afterMs} ms`)
})

void test('a clock that goes back gives nothing', async (t) => {
  const pace = new AcceptPace(100)
  t.equal(pace.budget(50), 0)
})
