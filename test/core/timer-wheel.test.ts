// The wheel against a naive list.

import fc from 'fast-check'
import { test } from 'tap'
import { tickMs, TimerWheel } from '../../src/core/timer-wheel.ts'

const capacity = 8
/** 4,096 ticks. */
const roundMs = 4096 * tickMs

type Step =
  | readonly ['set', slot: number, inMs: number]
  | readonly ['clear', slot: number]
  | readonly ['advance', byMs: number]

const spanMs = fc.oneof(
  fc.nat({ max: 3 * tickMs }),
  fc.nat({ max: 40_000 }).map((eighths) => eighths / 8),
  fc.nat({ max: 3 * roundMs }),
  fc.constantFrom(0, tickMs, roundMs - tickMs, roundMs - 1, roundMs, roundMs + 1, roundMs + tickMs, 10 * roundMs),
)
const slot = fc.nat({ max: capacity - 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant('set' as const), slot, spanMs) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('set' as const), slot, fc.nat({ max: 1_000 }).map((agoMs) => -agoMs)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('clear' as const), slot) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('advance' as const), spanMs) },
)

/** Deadlines by slot; one that had passed when it was set counts from then. */
class NaiveTimers {
  readonly atMs = new Map<number, number>()

  take(due: number, nowMs: number): void {
    const atMs = this.atMs.get(due)
    if (atMs === undefined) throw new Error(`slot ${due} came without a deadline, or twice`)
    if (atMs > nowMs) throw new Error(`slot ${due} came ${atMs - nowMs} ms early`)
    this.atMs.delete(due)
  }

  check(wheel: TimerWheel, nowMs: number): void {
    for (const [late, atMs] of this.atMs) {
      if (atMs <= nowMs - tickMs) throw new Error(`slot ${late} is ${nowMs - atMs} ms late`)
    }
    if (wheel.size !== this.atMs.size) throw new Error(`size ${wheel.size}, not ${this.atMs.size}`)
    const waitMs = wheel.waitMs(nowMs)
    if (waitMs < 0 || Number.isNaN(waitMs)) throw new Error(`a wait of ${waitMs} ms`)
    const next = Math.min(...this.atMs.values())
    if (this.atMs.size === 0 ? waitMs !== Infinity : nowMs + waitMs > next + tickMs) throw new Error(`sleeps for ${waitMs} ms, past ${next - nowMs}`)
  }
}

function takeAll(wheel: TimerWheel, model: NaiveTimers, nowMs: number): number {
  let taken = 0
  for (let due = wheel.takeDue(nowMs); due !== -1; due = wheel.takeDue(nowMs)) {
    model.take(due, nowMs)
    taken += 1
  }
  return taken
}

void test('each deadline comes once: never early, at most a tick late; the wait ends at the next one', async () => {
  fc.assert(fc.property(fc.nat({ max: 10_000_000 }), fc.array(step, { maxLength: 60 }), (startMs, steps) => {
    const wheel = new TimerWheel({ capacity, nowMs: startMs })
    const model = new NaiveTimers()
    let nowMs = startMs
    for (const [kind, first, second] of steps as readonly (readonly [Step[0], number, number?])[]) {
      if (kind === 'set') {
        wheel.set(first, nowMs + (second ?? 0))
        model.atMs.set(first, nowMs + Math.max(0, second ?? 0))
      } else if (kind === 'clear') {
        wheel.clear(first)
        model.atMs.delete(first)
      } else {
        nowMs += first
        takeAll(wheel, model, nowMs)
      }
      model.check(wheel, nowMs)
    }
  }), { numRuns: 2_000 })
})

void test('who sleeps as long as it says gets every deadline, in a few wakes for each', async () => {
  fc.assert(fc.property(fc.nat({ max: 1_000_000 }), fc.uniqueArray(fc.tuple(slot, spanMs), { selector: ([each]) => each, maxLength: capacity }), (startMs, deadlines) => {
    const wheel = new TimerWheel({ capacity, nowMs: startMs })
    const model = new NaiveTimers()
    for (const [each, inMs] of deadlines) {
      wheel.set(each, startMs + inMs)
      model.atMs.set(each, startMs + inMs)
    }
    let [nowMs, wakes] = [startMs, 0]
    while (wheel.size > 0) {
      nowMs += wheel.waitMs(nowMs)
      takeAll(wheel, model, nowMs)
      model.check(wheel, nowMs)
      wakes += 1
    }
    // One that lies rounds ahead is looked at once a round.
    return wakes <= deadlines.reduce((sum, [, inMs]) => sum + Math.ceil(inMs / (roundMs - 2 * tickMs)) + 1, 0)
  }), { numRuns: 500 })
})

void test('deadlines that are set while others are taken come in the same call or in a later one, and neither early nor twice', async () => {
  fc.assert(fc.property(fc.array(fc.tuple(slot, spanMs, spanMs), { minLength: 1, maxLength: 20 }), (chains) => {
    const wheel = new TimerWheel({ capacity, nowMs: 0 })
    const model = new NaiveTimers()
    let nowMs = 0
    for (const [each, inMs, againInMs] of chains) {
      wheel.set(each, nowMs + inMs)
      model.atMs.set(each, nowMs + inMs)
      nowMs += inMs + tickMs
      let again = 3
      for (let due = wheel.takeDue(nowMs); due !== -1; due = wheel.takeDue(nowMs)) {
        model.take(due, nowMs)
        if (again-- > 0) {
          wheel.set(due, nowMs + againInMs)
          model.atMs.set(due, nowMs + againInMs)
        }
      }
      model.check(wheel, nowMs)
    }
  }), { numRuns: 500 })
})

void test('a deadline without end never comes, nor does one of years before its time', async (t) => {
  const startMs = 1e12
  const wheel = new TimerWheel({ capacity, nowMs: startMs })
  const yearMs = 365 * 24 * 3_600_000
  wheel.set(0, Infinity)
  wheel.set(1, startMs + yearMs)
  wheel.set(2, startMs - yearMs)
  t.equal(wheel.takeDue(startMs + tickMs), 2)
  t.equal(wheel.takeDue(startMs + yearMs - tickMs), -1)
  t.equal(wheel.takeDue(startMs + yearMs + tickMs), 1)
  t.equal(wheel.takeDue(startMs + 7 * yearMs), -1)
  t.equal(wheel.size, 1)
})
