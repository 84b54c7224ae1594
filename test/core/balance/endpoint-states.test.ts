// Endpoints that are down, held or start slowly: what each scheduler makes of them, without being made anew.

import fc from 'fast-check'
import { test } from 'tap'
import { createActiveCells } from '../../../src/core/balance/active-counts.ts'
import { createScheduler } from '../../../src/core/balance/create-scheduler.ts'
import { failedBit, heldBit, SharedEndpointStates, shareOf, shareParts, startingSlowly } from '../../../src/core/balance/endpoint-states.ts'
import type { Endpoint } from '../../../src/core/balance/endpoint.ts'
import { schedulerKinds, type Scheduler, type SchedulerKind } from '../../../src/core/balance/scheduler.ts'
import { Counts, endpoints, names, shares, States } from './endpoints.ts'

const state = fc.constantFrom(0, 0, 0, failedBit, heldBit, heldBit | failedBit, startingSlowly(1), startingSlowly(128), startingSlowly(shareParts))
const weight = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 300 }))
const rows = (most: number): fc.Arbitrary<[number, number, boolean][]> => fc.array(fc.tuple(weight, state, fc.boolean()), { minLength: 1, maxLength: most })

interface Made {
  readonly all: readonly Endpoint[]
  readonly states: States
  readonly active: Counts
  readonly scheduler: Scheduler
}

function make(kind: SchedulerKind, weights: readonly number[], states: readonly number[] = []): Made {
  const [all, its, active] = [endpoints(...weights), new States(states), new Counts()]
  return { all, states: its, active, scheduler: createScheduler(kind, all, { active, states: its, firstIndex: 0 }) }
}

function isOpen(states: States, endpoint: Endpoint): boolean {
  return (states.of(endpoint) & (failedBit | heldBit)) === 0
}

for (const kind of schedulerKinds) {
  void test(`${kind} never picks one that is held, one that failed only where no other is left, and nobody only then`, async () => {
    fc.assert(fc.property(rows(20), fc.array(fc.tuple(fc.ipV4(), fc.nat(19), state), { minLength: 1, maxLength: 30 }), (its, picks) => {
      const { all, states, scheduler } = make(kind, its.map(([each]) => each), its.map(([, each]) => each))
      const tried = all.filter((_, index) => its[index]?.[2] === true)
      return picks.every(([source, at, next], index) => {
        // Now and then a connection that has tried nothing yet, so that turns go by.
        const triedNow = index % 2 === 0 ? tried : []
        const left = all.filter((endpoint) => endpoint.weight > 0 && (states.of(endpoint) & heldBit) === 0 && !triedNow.includes(endpoint))
        const picked = scheduler.pick(triedNow, source)
        const right = picked === undefined ? left.length === 0 : left.includes(picked) && (isOpen(states, picked) || !left.some((endpoint) => isOpen(states, endpoint)))
        states.rows[at] = next
        return right
      })
    }), { numRuns: 300 })
  })

  void test(`${kind}: where all are down, those that are not held are tried, and more than one of them`, async (t) => {
    const { scheduler, active } = make(kind, [1, 1, 1, 1, 0], [failedBit, failedBit, failedBit, heldBit, 0])
    const picked = new Set<string>()
    for (let connection = 0; connection < 300; connection++) {
      const endpoint = scheduler.pick([], `192.0.2.${connection % 250}`)
      if (endpoint === undefined) continue
      picked.add(endpoint.name)
      active.began(endpoint)
    }
    t.same([...picked].toSorted(), ['a', 'b', 'c'])
  })

  void test(`${kind}: an endpoint is down at once, and back at once`, async (t) => {
    const { scheduler, states } = make(kind, [1, 1, 1, 1])
    const counts = (): number[] => shares(scheduler, 400, (pick) => `192.0.2.${pick % 250}`)
    t.ok(counts().every((count) => count > 0))
    states.rows[2] = failedBit
    t.equal(counts()[2], 0)
    states.rows[2] = 0
    t.ok(counts().every((count) => count > 0))
  })
}

for (const kind of ['rr', 'wrr'] as const) {
  void test(`${kind}: one that starts slowly takes its share of its turns, however small, and the others take the rest`, async () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 8 }), fc.integer({ min: 1, max: shareParts }), (weights, parts) => {
      const { scheduler } = make(kind, weights, [startingSlowly(parts)])
      const [slow = 0, ...others] = shares(scheduler, 4_000)
      const sum = weights.reduce((total, each) => total + each, 0)
      // Of a round in which the others take each of their own turns once.
      const own = (kind === 'rr' ? 1 : weights[0] ?? 1) * parts / shareParts
      const fair = 4_000 * own / ((kind === 'rr' ? weights.length : sum) - (kind === 'rr' ? 1 : weights[0] ?? 1) + own)
      return slow >= 1 && slow <= fair * 1.3 + 3 && slow >= fair * 0.6 - 3 && others.every((count) => count > 0)
    }), { numRuns: 100 })
  })
}

void test('wrr: one that was down is back with its own turns, and has not saved up those that went by', async (t) => {
  const { scheduler, states } = make('wrr', [100, 100, 100, 100])
  states.rows[3] = failedBit
  const without = names(scheduler, 300)
  t.notMatch(without, /d/)
  states.rows[3] = 0
  t.ok(names(scheduler, 40).split('d').length - 1 <= 16, 'ten are its share of forty')
})

void test('wrr: a pick costs no more for a heavy endpoint that is down than for a light one', async (t) => {
  const { scheduler } = make('wrr', [65_535, 1, 1], [failedBit])
  t.equal(names(scheduler, 6).replaceAll(/bc|cb/g, ''), '', 'the light ones take turns')
})

for (const kind of ['lc', 'wlc'] as const) {
  void test(`${kind}: of an endpoint that comes back with no connections, its share bounds what it gets`, async (t) => {
    const { scheduler, active, states } = make(kind, [1, 1, 1, 1])
    for (let count = 0; count < 300; count++) active.rows[count % 3] = (active.rows[count % 3] ?? 0) + 1
    const grown = [1, 32, 128, shareParts].map((parts) => {
      states.rows[3] = startingSlowly(parts)
      for (let connection = 0; connection < 100; connection++) {
        const endpoint = scheduler.pick([], '192.0.2.1')
        if (endpoint !== undefined) active.began(endpoint)
      }
      return active.rows[3] ?? 0
    })
    t.ok((grown[0] ?? 99) <= 2, `a 256th: ${grown[0]}`)
    t.ok((grown[1] ?? 99) <= 25, `an eighth: ${grown[1]}`)
    t.ok((grown[2] ?? 0) > 50 && (grown[3] ?? 0) > 140, `half, and all: ${grown[2]}, ${grown[3]}`)
  })
}

void test('sh: as an endpoint’s share grows clients come to it that were its own, and none leaves or moves elsewhere', async () => {
  fc.assert(fc.property(fc.array(fc.ipV4(), { minLength: 50, maxLength: 50 }), fc.nat(4), (sources, slow) => {
    const { all, scheduler, states } = make('sh', [1, 2, 1, 3, 1])
    const whole = sources.map((source) => scheduler.pick([], source))
    let before: (Endpoint | undefined)[] | undefined
    return [1, 64, 128, 200, shareParts].every((parts) => {
      states.rows[slow] = startingSlowly(parts)
      const now = sources.map((source) => scheduler.pick([], source))
      const right = now.every((endpoint, index) => endpoint === whole[index] || (whole[index] === all[slow] && before?.[index] !== all[slow]))
      before = now
      return right
    }) && before?.every((endpoint, index) => endpoint === whole[index]) === true
  }))
})

void test('sh, mh: while an endpoint is down only its own clients go elsewhere, over all the others, and come back', async (t) => {
  for (const kind of ['sh', 'mh'] as const) {
    const { all, scheduler, states } = make(kind, [1, 1, 1, 1, 1])
    const sources = Array.from({ length: 500 }, (_, index) => `10.${index % 7}.3.${index % 250}`)
    const picks = (): (Endpoint | undefined)[] => sources.map((source) => scheduler.pick([], source))
    const whole = picks()
    states.rows[1] = failedBit
    const without = picks()
    t.ok(without.every((endpoint, index) => whole[index] === all[1] ? endpoint !== all[1] : endpoint === whole[index]), kind)
    t.equal(new Set(without.filter((_, index) => whole[index] === all[1])).size, 4, `${kind}: spread`)
    states.rows[1] = 0
    t.same(picks(), whole)
  }
})

void test('mh: one that starts slowly has its share of the bound, and those that are down none', async (t) => {
  const { scheduler, active } = make('mh', [1, 1, 1, 1, 1], [startingSlowly(32), failedBit])
  for (let connection = 0; connection < 1_000; connection++) {
    const endpoint = scheduler.pick([], `10.${connection >> 8}.0.${connection & 255}`)
    if (endpoint !== undefined) active.began(endpoint)
  }
  const [slow = 0, down = 0, ...others] = active.rows
  t.equal(down, 0)
  t.ok(slow <= 1.25 * 1_001 * (1 / 8) / 3.125 + 1, `slow: ${slow}`)
  t.ok(others.every((count) => count <= 1.25 * 1_001 / 3.125 + 1), others.join(' '))
})

void test('every thread reads what the main thread writes, by row', async (t) => {
  const cells = createActiveCells(1)
  const [one, two] = endpoints(1, 1)
  if (one === undefined || two === undefined) return
  const other = new SharedEndpointStates(structuredClone(cells))
  cells.states[1] = failedBit
  t.same([other.of(one), other.of(two)], [0, failedBit])
  t.equal(other.of({ ...one, row: 5_000_000 }), 0)
  t.same([shareOf(0), shareOf(startingSlowly(64)), shareOf(startingSlowly(1))], [1, 0.25, 1 / 256])
})
