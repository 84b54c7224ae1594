import fc from 'fast-check'
import { test } from 'tap'
import { judgeLoad, mayEnter, mayFillCores, openGate, type LaneGate, type LaneLoad } from '../../src/core/kernel-lane-policy.ts'

const quiet = { relayedMs: 10_000, bytesPerSecond: 4_000, sinceLeftMs: Infinity, bulkyLeaves: 0 }
const lookMs = 100
const full = { active: 64, idleShare: 0.02 }
const calm = { active: 64, idleShare: 0.6 }

/** The gate after looks at this load for so long. */
function after(gate: LaneGate, fromMs: number, forMs: number, load: Omit<LaneLoad, 'nowMs'>): LaneGate {
  let at = gate
  for (let nowMs = fromMs; nowMs < fromMs + forMs; nowMs += lookMs) at = judgeLoad(at, { nowMs, ...load })
  return at
}

/** How long a closed gate stays closed once cores have room. */
function reopensAfterMs(gate: LaneGate, fromMs: number): number {
  let [at, nowMs] = [gate, fromMs]
  while (!at.isOpen) at = judgeLoad(at, { nowMs: nowMs += lookMs, ...calm })
  return nowMs - fromMs
}

void test('a quiet connection enters once it has been relayed for a while', async (t) => {
  t.ok(mayEnter('auto', quiet))
  t.notOk(mayEnter('auto', { ...quiet, relayedMs: 20 }))
  t.notOk(mayEnter('auto', { ...quiet, bytesPerSecond: 500e6 }), 'bulk is splice’s')
  t.notOk(mayEnter('off', quiet))
  t.ok(mayEnter('always', { ...quiet, relayedMs: 0, bytesPerSecond: 1e9, sinceLeftMs: 0, bulkyLeaves: 9 }))
})

void test('after a leave for bulk it waits, each time longer, but not for ever', async (t) => {
  const waitMs = (bulkyLeaves: number): number => {
    let ms = 0
    while (!mayEnter('auto', { ...quiet, sinceLeftMs: ms, bulkyLeaves })) ms += 10
    return ms
  }
  t.equal(waitMs(0), 0)
  t.ok(waitMs(1) > 0)
  for (let leaves = 1; leaves < 5; leaves++) t.equal(waitMs(leaves + 1), 2 * waitMs(leaves))
  t.equal(waitMs(200), waitMs(255))
})

for (const { name, active, idleShare, isOpen } of [
  { name: 'many that fill the cores', active: 64, idleShare: 0.02, isOpen: false },
  { name: 'many that say little', active: 64, idleShare: 0.6, isOpen: true },
  { name: 'few that use all that there is', active: 4, idleShare: 0, isOpen: true },
  { name: 'nobody, on a machine that others fill', active: 0, idleShare: 0, isOpen: true },
]) {
  void test(`the gate, with ${name}, is ${isOpen ? 'open' : 'closed'}`, async (t) => {
    t.equal(judgeLoad(openGate, { nowMs: 1_000, active, idleShare }).isOpen, isOpen)
  })
}

void test('few connections are no reason to look at the cores', async (t) => {
  t.notOk(mayFillCores(4))
  t.ok(mayFillCores(64))
})

void test('a gate that was closed opens when cores have had room for a while, or when few are left', async (t) => {
  const closed = after(openGate, 0, 1_000, full)
  t.notOk(closed.isOpen)
  t.notOk(after(closed, 1_000, 60_000, full).isOpen)
  t.notOk(after(closed, 1_000, 60_000, { active: 64, idleShare: 0.15 }).isOpen, 'hardly any room')
  t.notOk(after(closed, 1_000, lookMs, calm).isOpen, 'for a moment')
  t.ok(after(closed, 1_000, 2_000, calm).isOpen)
  t.ok(after(closed, 1_000, 2_000, { active: 2, idleShare: 0 }).isOpen)
  const interrupted = after(after(closed, 1_000, 400, calm), 1_400, lookMs, full)
  t.notOk(after(interrupted, 1_500, 400, calm).isOpen, 'each time from the beginning')
})

void test('a gate that closes again and again opens later each time, and as at first once it was open for long', async (t) => {
  let [gate, nowMs, beforeMs] = [openGate, 0, 0]
  for (let closing = 0; closing < 12; closing++) {
    gate = after(gate, nowMs += 1_000, lookMs, full)
    const ms = reopensAfterMs(gate, nowMs)
    t.ok(ms >= beforeMs)
    gate = after(gate, nowMs, ms + lookMs, calm)
    nowMs += ms
    beforeMs = ms
  }
  t.equal(Math.floor(beforeMs / 1_000), 30)
  t.ok(after(after(gate, nowMs, lookMs, full), nowMs + lookMs, 700, { active: 2, idleShare: 0 }).isOpen, 'for few it need not be late')
  gate = after(gate, nowMs, 120_000, calm)
  t.equal(reopensAfterMs(after(gate, nowMs + 120_000, lookMs, full), nowMs + 120_000), reopensAfterMs(after(openGate, 0, lookMs, full), 0))
})

void test('a gate that many connections find shut is open for a small part of the time at most, whatever the cores do', async () => {
  const loads = fc.infiniteStream(fc.record({ active: fc.constantFrom(7, 64, 2_000), idleShare: fc.double({ min: 0, max: 1, noNaN: true }) }))
  fc.assert(fc.property(loads, fc.integer({ min: 0, max: 1e9 }), (stream, fromMs) => {
    let [gate, nowMs, openings] = [openGate, fromMs, 0]
    // The worst case: whenever it is open they fill the cores, and whenever it is closed those have some room.
    for (let look = 0; look < 6_000; look++) {
      const { active, idleShare } = stream.next().value ?? calm
      const before = gate
      gate = judgeLoad(gate, { nowMs: nowMs += lookMs, active, idleShare: gate.isOpen ? idleShare * 0.099 : 0.25 + idleShare * 0.75 })
      if (gate.isOpen && !before.isOpen) openings += 1
    }
    return openings <= 26
  }), { numRuns: 20 })
})
