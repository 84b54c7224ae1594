import { test } from 'tap'
import { Heartbeat } from '../../../src/core/mux/heartbeat.ts'

void test('how long pings have had no answer counts from the first of them, and any answer ends it', (t) => {
  const heartbeat = new Heartbeat({ pingIntervalMs: 15_000, silenceMs: 35_000, nowMs: 0, random: () => 0.5 })
  t.equal(heartbeat.unansweredSinceMs, undefined)
  const first = heartbeat.pingIfDue(100) ?? 0
  t.equal(heartbeat.unansweredSinceMs, 100)
  const second = heartbeat.sampleIfStale(1_200) ?? 0
  t.equal(heartbeat.unansweredSinceMs, 100)
  heartbeat.answered(first, 1_300)
  t.same([heartbeat.unansweredSinceMs, heartbeat.rttMs], [undefined, undefined], 'an answer to the one before says nothing of the round trip')
  heartbeat.answered(second, 1_400)
  t.equal(heartbeat.rttMs, 200)
  heartbeat.pingIfDue(20_000)
  t.equal(heartbeat.unansweredSinceMs, 20_000)
  t.end()
})
