// Round robin: whose turn it is, who is passed over, and that nobody gets more than a turn.

import fc from 'fast-check'
import { test } from 'tap'
import type { Endpoint } from '../../../src/core/balance/endpoint.ts'
import { RoundRobin } from '../../../src/core/balance/round-robin.ts'
import { endpoints, names } from './endpoints.ts'

void test('each endpoint comes in its turn', async (t) => {
  t.equal(names(new RoundRobin(endpoints(1, 1, 1)), 7), 'abcabca')
  t.equal(names(new RoundRobin(endpoints(1)), 3), 'aaa')
})

void test('a weight above zero gives no more turns', async (t) => {
  t.equal(names(new RoundRobin(endpoints(5, 1, 100)), 6), 'abcabc')
})

void test('weight 0 is passed over', async (t) => {
  t.equal(names(new RoundRobin(endpoints(1, 0, 1, 0)), 5), 'acaca')
  t.equal(names(new RoundRobin(endpoints(0, 0)), 2), '--')
})

void test('no endpoints, none to pick', async (t) => {
  t.equal(names(new RoundRobin([]), 2), '--')
  t.equal(names(new RoundRobin([], 7), 2), '--')
})

void test('the first turn is whose the caller says', async (t) => {
  for (const [firstIndex, expected] of [[0, 'abc'], [1, 'bca'], [2, 'cab'], [3, 'abc'], [1_000_000, 'bca']] as const) {
    t.equal(names(new RoundRobin(endpoints(1, 1, 1), firstIndex), 3), expected, String(firstIndex))
  }
  t.equal(names(new RoundRobin(endpoints(0, 1, 1), 0), 3), 'bcb', 'a quiesced first one is passed over')
})

void test('a connection never gets back what it has tried', async (t) => {
  const all = endpoints(1, 1, 0, 1)
  const scheduler = new RoundRobin(all)
  const tried: Endpoint[] = []
  for (let next = scheduler.pick(tried); next !== undefined; next = scheduler.pick(tried)) tried.push(next)
  t.equal(tried.map(({ name }) => name).join(''), 'abd')
  t.equal(scheduler.pick([])?.name, 'a', 'the next connection starts afresh, in turn')
})

void test('the turns of an endpoint that refuses go round the others, not all to its neighbour', async (t) => {
  const [dead, ...alive] = endpoints(1, 1, 1, 1)
  const scheduler = new RoundRobin(dead === undefined ? alive : [dead, ...alive])
  const answered = new Map<string, number>()
  for (let connection = 0; connection < 300; connection++) {
    const first = scheduler.pick([])
    const endpoint = first === dead && first !== undefined ? scheduler.pick([first]) : first
    if (endpoint !== undefined) answered.set(endpoint.name, (answered.get(endpoint.name) ?? 0) + 1)
  }
  t.same(Object.fromEntries(answered), { b: 100, c: 100, d: 100 })
})

void test('in any run of picks no endpoint is two turns ahead of another', async () => {
  const weights = fc.array(fc.nat(3), { minLength: 1, maxLength: 12 })
  fc.assert(fc.property(weights, fc.nat(100), fc.nat(60), fc.nat(60), (weights, firstIndex, picksBefore, picks) => {
    const scheduler = new RoundRobin(endpoints(...weights), firstIndex)
    for (let pick = 0; pick < picksBefore; pick++) scheduler.pick([])
    const turns = new Map(scheduler.endpoints.filter(({ weight }) => weight > 0).map((endpoint) => [endpoint, 0]))
    for (let pick = 0; pick < picks; pick++) {
      const endpoint = scheduler.pick([])
      if (endpoint === undefined) return turns.size === 0
      turns.set(endpoint, (turns.get(endpoint) ?? Number.NaN) + 1)
    }
    const counts = [...turns.values()]
    return Math.max(...counts) - Math.min(...counts) <= 1
  }))
})

void test('whatever was tried, a pick is undefined only when nothing is left', async () => {
  const attempts = fc.array(fc.array(fc.nat(7), { maxLength: 8 }), { maxLength: 30 })
  fc.assert(fc.property(fc.array(fc.nat(1), { minLength: 8, maxLength: 8 }), attempts, (weights, attempts) => {
    const scheduler = new RoundRobin(endpoints(...weights))
    return attempts.every((indices) => {
      const tried = scheduler.endpoints.filter((_, index) => indices.includes(index))
      const left = scheduler.endpoints.filter((endpoint) => endpoint.weight > 0 && !tried.includes(endpoint))
      const picked = scheduler.pick(tried)
      return picked === undefined ? left.length === 0 : left.includes(picked)
    })
  }))
})
