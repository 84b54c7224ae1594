// Weighted round robin: as often as the weight says, as evenly as can be, and who is passed over.

import fc from 'fast-check'
import { test } from 'tap'
import type { Endpoint } from '../../../src/core/balance/endpoint.ts'
import { weightMax } from '../../../src/core/balance/scheduler.ts'
import { WeightedRoundRobin } from '../../../src/core/balance/weighted-round-robin.ts'
import { endpoints, names, shares } from './endpoints.ts'

const someWeights = fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 300 })), { minLength: 1, maxLength: 40 })

void test('an endpoint comes as often as its weight says, and its turns lie apart', async (t) => {
  for (const [weights, expected] of [
    [[1, 1, 1], 'abcabc'],
    [[2, 1], 'aabaab'],
    [[5, 1, 1], 'aaabaacaaabaac'],
    [[3, 2, 1], 'ababac'],
    [[200, 100], 'aabaab'],
    [[weightMax, weightMax], 'abab'],
    [[7], 'aaa'],
    [[1, 0, 1], 'acac'],
    [[0, 0], '--'],
    [[], '--'],
  ] as const) t.equal(names(new WeightedRoundRobin(endpoints(...weights)), expected.length), expected, weights.join(' '))
})

void test('others begin elsewhere in the round', async (t) => {
  t.same([0, 1, 2, 3].map((firstIndex) => names(new WeightedRoundRobin(endpoints(1, 1, 1), firstIndex), 3)), ['abc', 'bca', 'cab', 'abc'])
})

void test('the extremes of weights do not hide anybody', async (t) => {
  t.same(shares(new WeightedRoundRobin(endpoints(weightMax, 1)), weightMax + 1), [weightMax, 1])
})

void test('after any number of turns nobody is a whole turn from its exact share', async () => {
  fc.assert(fc.property(someWeights, (weights) => {
    fc.pre(weights.some((weight) => weight > 0))
    const scheduler = new WeightedRoundRobin(endpoints(...weights))
    const sum = weights.reduce((total, weight) => total + weight, 0)
    const counts = new Map(scheduler.endpoints.map((endpoint) => [endpoint, 0]))
    for (let turn = 1; turn <= Math.min(2 * sum, 2_000); turn++) {
      const picked = scheduler.pick([])
      if (picked === undefined) return false
      counts.set(picked, (counts.get(picked) ?? 0) + 1)
      if (scheduler.endpoints.some((endpoint) => Math.abs((counts.get(endpoint) ?? 0) - turn * endpoint.weight / sum) >= 1)) return false
    }
    return true
  }))
})

void test('the turns of an endpoint that refuses go round the others', async (t) => {
  const scheduler = new WeightedRoundRobin(endpoints(1, 1, 1, 1))
  const [dead] = scheduler.endpoints
  const counts = new Map<Endpoint | undefined, number>()
  for (let connection = 0; connection < 300; connection++) {
    const first = scheduler.pick([])
    const endpoint = first === dead && first !== undefined ? scheduler.pick([first]) : first
    counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
  }
  t.same(scheduler.endpoints.map((endpoint) => counts.get(endpoint) ?? 0), [0, 100, 100, 100])
})

void test('whatever was tried, the next one is another that takes connections, until none is left', async () => {
  fc.assert(fc.property(someWeights, fc.array(fc.array(fc.nat(39), { maxLength: 16 }), { maxLength: 60 }), (weights, attempts) => {
    const scheduler = new WeightedRoundRobin(endpoints(...weights))
    return attempts.every((indices) => {
      const tried = scheduler.endpoints.filter((_, index) => indices.includes(index))
      const left = scheduler.endpoints.filter((endpoint) => endpoint.weight > 0 && !tried.includes(endpoint))
      const picked = scheduler.pick(tried)
      return picked === undefined ? left.length === 0 : left.includes(picked)
    })
  }))
})
