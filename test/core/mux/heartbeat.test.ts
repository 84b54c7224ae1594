import { test } from 'tap'
import { Heartbeat } from '../../../src/core/mux/heartbeat.ts'

/** Its ten first pings are answered, each in so long. @returns when the last one was sent */
function begin(heartbeat: Heartbeat, rttMs: (ping: number) => number): number {
  let nowMs = heartbeat.deadlineMs
  for (let ping = 0; ping < 10; ping++) {
    nowMs = heartbeat.deadlineMs
    heartbeat.answered(heartbeat.pingIfDue(nowMs) ?? 0, nowMs + rttMs(ping))
  }
  return nowMs
}

void test('a session begins with ten pings, 200 ms apart: their least answer is the path’s, and the next ones are rare', (t) => {
  const heartbeat = new Heartbeat({ pingIntervalMs: 15_000, silenceMs: 35_000, nowMs: 0, random: () => 0.5 })
  const lastMs = begin(heartbeat, (ping) => ping === 6 ? 1 : 18)
  t.same([lastMs, heartbeat.deadlineMs, heartbeat.pathRttMs], [1_800, 16_800, 1])
  t.end()
})

void test('on a long path, none of the first pings makes the answer to the one before count for nothing', (t) => {
  const heartbeat = new Heartbeat({ pingIntervalMs: 15_000, silenceMs: 35_000, nowMs: 0, random: () => 0.5 })
  const value = heartbeat.pingIfDue(0) ?? 0
  for (let nowMs = 200; nowMs < 900; nowMs += 200) t.equal(heartbeat.pingIfDue(nowMs), undefined)
  heartbeat.answered(value, 900)
  t.equal(heartbeat.pathRttMs, 900)
  t.not(heartbeat.pingIfDue(1_000), undefined)
  t.end()
})

void test('how long pings have had no answer counts from the first of them, and any answer ends it', (t) => {
  const heartbeat = new Heartbeat({ pingIntervalMs: 15_000, silenceMs: 35_000, nowMs: -1_900, random: () => 0.5 })
  begin(heartbeat, () => 400)
  t.equal(heartbeat.unansweredSinceMs, undefined)
  const first = heartbeat.pingIfDue(15_000) ?? 0
  t.equal(heartbeat.unansweredSinceMs, 15_000)
  const second = heartbeat.pingIfDue(30_100) ?? 0
  t.equal(heartbeat.unansweredSinceMs, 15_000)
  heartbeat.answered(first, 30_200)
  t.same([heartbeat.unansweredSinceMs, heartbeat.rttMs], [undefined, 400], 'an answer to the one before says nothing of the round trip')
  heartbeat.answered(second, 30_300)
  t.equal(heartbeat.rttMs, 200)
  heartbeat.pingIfDue(55_000)
  t.equal(heartbeat.unansweredSinceMs, 55_000)
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
