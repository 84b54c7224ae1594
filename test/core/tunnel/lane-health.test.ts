import { test } from 'tap'
import { LaneHealth } from '../../../src/core/tunnel/lane-health.ts'

void test('a lane that fails is left alone, ever longer, until it has worked', async (t) => {
  const lane = new LaneHealth()
  t.ok(lane.isUsable(0))
  t.equal(lane.failed(0), 30_000)
  t.equal(lane.failed(10), 30_000, 'one that had been under way')
  t.notOk(lane.isUsable(29_999))
  t.ok(lane.isUsable(30_000))
  t.equal(lane.failed(30_000), 90_000)
  t.equal(lane.failed(90_000), 210_000)
  lane.worked()
  t.equal(lane.failed(300_000), 330_000)
})

void test('never longer than ten minutes', async (t) => {
  const lane = new LaneHealth()
  let nowMs = 0
  for (let count = 0; count < 50; count++) {
    const untilMs = lane.failed(nowMs)
    t.ok(untilMs - nowMs <= 600_000)
    nowMs = untilMs
  }
})
