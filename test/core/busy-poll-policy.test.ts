import { test } from 'tap'
import { BusyPollPolicy } from '../../src/core/busy-poll-policy.ts'

/** How many of so many waits poll, when nothing ever comes. */
function missedOf(policy: BusyPollPolicy, waits: number, nowMs = 0): number {
  let polls = 0
  for (let wait = 0; wait < waits; wait++) {
    if (!policy.mayPoll(nowMs)) continue
    polls += 1
    policy.missed()
  }
  return polls
}

/** @returns milliseconds */
function restMs(policy: BusyPollPolicy, fromMs: number): number {
  let ms = 0
  while (!policy.mayPoll(fromMs + ms)) ms += 1
  return ms
}

void test('a thread that finds something each time polls each time', async (t) => {
  const policy = new BusyPollPolicy()
  for (let wait = 0; wait < 1_000; wait++) {
    if (!policy.mayPoll(wait)) t.fail(`not at wait ${wait}`)
    policy.hit()
  }
})

void test('a thread that finds nothing hardly polls any more', async (t) => {
  const policy = new BusyPollPolicy()
  t.equal(missedOf(policy, 8), 8)
  t.ok(missedOf(policy, 100_000) < 120)
})

void test('after a rest one look is enough to go on, or to rest again', async (t) => {
  const policy = new BusyPollPolicy()
  t.equal(missedOf(policy, 8 + 8 + 1 + 16), 9)
  t.ok(policy.mayPoll(0))
  policy.hit()
  t.equal(missedOf(policy, 8), 8)
})

void test('where another program runs on the core it rests for a while, longer each time, and not for ever', async (t) => {
  const policy = new BusyPollPolicy()
  let [nowMs, beforeMs] = [0, 0]
  for (let time = 0; time < 12; time++) {
    policy.shared(nowMs)
    const ms = restMs(policy, nowMs)
    t.ok(ms > beforeMs || ms === 10_000)
    nowMs += ms
    beforeMs = ms
  }
  t.equal(beforeMs, 10_000)
  policy.shared(nowMs + 60_000)
  t.equal(restMs(policy, nowMs + 60_000), 100, 'as at first, once it was alone for long')
})
