import { test } from 'tap'
import { WallClock } from '../../src/observe/wall-clock.ts'

void test('a monotonic clock’s time is told as the Unix epoch’s, and a clock that is set is noticed within a second', async (t) => {
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  const clock = new WallClock()
  Date.now = () => 1_700_000_000_000
  t.equal(clock.epochMs(5_000), 1_700_000_000_000)
  t.equal(clock.epochMs(5_000.25), 1_700_000_000_000.25)
  Date.now = () => 1_800_000_000_000
  t.equal(clock.epochMs(5_999), 1_700_000_000_999, 'not asked again')
  t.equal(clock.epochMs(6_000), 1_800_000_000_000)
})
