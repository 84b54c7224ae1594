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
  epochMs = 1_700_000_000_000
  t.equal(clock.epochMs(7_000), 1_700_000_000_000, 'set back')
})

void test('time goes on evenly, though the epoch’s comes in whole milliseconds', async (t) => {
  const startMs = 1_700_000_000_000.9
  const clock = new WallClock(() => Math.floor(startMs + nowMs))
  let nowMs = 0
  let before = clock.epochMs(nowMs)
  for (nowMs = 100.37; nowMs < 60_000; nowMs += 100.37) {
    const epochMs = clock.epochMs(nowMs)
    if (epochMs - before < 100.2 || epochMs > startMs + nowMs) t.fail(`${before} ${epochMs} at ${nowMs}`)
    before = epochMs
  }
  t.ok(before > startMs + nowMs - 100.37 - 0.1, 'and is soon right to a tenth of one')
})
