import { test } from 'tap'
import { WallClock } from '../../src/core/wall-clock.ts'

void test('a monotonic clock’s time is told as the Unix epoch’s, and a clock that is set is noticed within a second', async (t) => {
  let epochMs = 1_700_000_000_000
  const clock = new WallClock(() => epochMs)
  t.equal(clock.epochMs(5_000), 1_700_000_000_000)
  t.equal(clock.epochMs(5_000.25), 1_700_000_000_000.25)
  epochMs = 1_800_000_000_000
  t.equal(clock.epochMs(5_999), 1_700_000_000_999, 'not asked again')
  t.equal(clock.epochMs(6_000), 1_800_000_000_000)
})
