// Closing over a while: evenly, all of them, and never before the time.

import { test } from 'tap'
import { drainDeadlineMs, dueCount } from '../../../src/core/live/spread.ts'

void test('so many are due by now: none at the start, evenly from then on, and all at the end', (t) => {
  for (const [count, elapsedMs, overMs, due] of [
    [10, 0, 1_000, 0], [10, 99, 1_000, 0], [10, 100, 1_000, 1], [10, 555, 1_000, 5], [10, 999, 1_000, 9], [10, 1_000, 1_000, 10], [10, 5_000, 1_000, 10],
    [10, 0, 0, 10], [0, 500, 1_000, 0], [1, 999, 1_000, 0], [1, 1_000, 1_000, 1], [10, -5, 1_000, 0],
  ] as const) t.equal(dueCount(count, { elapsedMs, overMs }), due, `${count} over ${overMs} ms, after ${elapsedMs}`)
  t.end()
})

void test('a drain of the gateway closes in the second half of a tenant’s time, and evenly whatever numbers are open', (t) => {
  const limits = { drainTimeoutMs: 1_000 }
  t.equal(drainDeadlineMs(Infinity, 7, limits), Infinity)
  t.equal(drainDeadlineMs(500, 7, { drainTimeoutMs: 0 }), 500)
  for (const step of [1, 2, 3, 5, 10, 64]) {
    const buckets = Array.from({ length: 10 }, () => 0)
    for (let number = 1; number <= 1_000; number++) {
      const afterMs = drainDeadlineMs(0, number * step, limits)
      t.ok(afterMs > 500 && afterMs <= 1_000)
      buckets[Math.min(9, Math.floor((afterMs - 500) / 50))]! += 1
    }
    t.ok(Math.max(...buckets) <= 125 && Math.min(...buckets) >= 75, `each ${step}th: ${buckets.join(' ')}`)
  }
  t.end()
})
