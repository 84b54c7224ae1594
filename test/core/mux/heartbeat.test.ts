import { test } from 'tap'
import { Heartbeat } from '../../../src/core/mux/heartbeat.ts'

void test('how long pings have had no answer counts from the first of them, and any answer ends it', (t) => {
  const heartbeat = new Heartbeat({ pingIntervalMs: 15_000, silenceMs: 35_000, nowMs: 0, random: () => 0.5 })
  t.equal(heartbeat.unansweredSinceMs, undefined)
  const first = heartbeat.pingIfDue(100) ?? 0
  t.equal(heartbeat.unansweredSinceMs, 100)
  const second = heartbeat.pingIfDue(15_200) ?? 0
  t.equal(heartbeat.unansweredSinceMs, 100)
  heartbeat.answered(first, 15_300)
  t.same([heartbeat.unansweredSinceMs, heartbeat.rttMs], [undefined, undefined], 'an answer to the one before says nothing of the round trip')
  heartbeat.answered(second, 15_400)
  t.equal(heartbeat.rttMs, 200)
  heartbeat.pingIfDue(40_000)
  t.equal(heartbeat.unansweredSinceMs, 40_000)
  t.end()
})

void test('a ping that is under way is waited for, however long the path', (t) => {
  const heartbeat = new Heartbeat({ pingIntervalMs: 15_000, silenceMs: 35_000, nowMs: 0, random: () => 0.5 })
  const value = heartbeat.sampleIfStale(0) ?? 0
  t.equal(heartbeat.sampleIfStale(3_000), undefined)
  heartbeat.answered(value, 4_000)
  t.equal(heartbeat.rttMs, 4_000)
  t.not(heartbeat.sampleIfStale(4_001), undefined)
  t.end()
})

void test('the path’s round trip is the least of late, whatever queues bulk makes', (t) => {
  const heartbeat = new Heartbeat({ pingIntervalMs: 15_000, silenceMs: 35_000, nowMs: 0, random: () => 0.5 })
  const sample = (atMs: number, rttMs: number): void => heartbeat.answered(heartbeat.sampleIfStale(atMs) ?? 0, atMs + rttMs)
  sample(0, 10)
  for (let atMs = 2_000; atMs < 250_000; atMs += 2_000) sample(atMs, 80)
  t.equal(heartbeat.pathRttMs, 10)
  t.ok((heartbeat.rttMs ?? 0) > 70)
  for (let atMs = 250_000; atMs < 900_000; atMs += 2_000) sample(atMs, 80)
  t.equal(heartbeat.pathRttMs, 80, 'a path that has become longer is believed in time')
  t.end()
})
