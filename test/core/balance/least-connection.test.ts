// Least connection: the emptiest, by weight or not; ties; and how near to it a draw comes where there are many.

import fc from 'fast-check'
import { test } from 'tap'
import { LeastConnection } from '../../../src/core/balance/least-connection.ts'
import { Counts, endpoints, names, shares } from './endpoints.ts'

const weight = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 65_535 }))

void test('the endpoint with the fewest connections comes, or with the fewest for its weight', async (t) => {
  for (const [kind, weights, active, expected] of [
    ['lc', [1, 1, 1], [3, 1, 2], 'b'],
    ['lc', [9, 1, 1], [3, 1, 2], 'b'],
    ['lc', [1, 0, 1], [3, 0, 2], 'c'],
    ['lc', [0, 0], [0, 0], '-'],
    ['lc', [], [], '-'],
    ['wlc', [1, 1, 1], [3, 1, 2], 'b'],
    ['wlc', [9, 1, 1], [8, 1, 2], 'a'],
    ['wlc', [9, 1, 1], [9, 0, 2], 'b'],
    ['wlc', [1, 2, 1], [0, 0, 0], 'b'],
    ['wlc', [65_535, 65_534], [1_000_000, 1_000_000], 'a'],
    ['wlc', [0, 1], [0, 100], 'b'],
  ] as const) t.equal(names(new LeastConnection(kind, endpoints(...weights), { active: new Counts(active) }), 1), expected, `${kind} ${weights.join(' ')} with ${active.join(' ')}`)
})

void test('those that are equal take turns, and others begin elsewhere', async (t) => {
  t.same([0, 1, 5].map((firstIndex) => names(new LeastConnection('lc', endpoints(1, 1, 1), { active: new Counts(), firstIndex }), 6)), ['abcabc', 'bcabca', 'cabcab'])
  t.equal(names(new LeastConnection('lc', endpoints(1, 1, 1), { active: new Counts([0, 0, 7]) }), 4), 'abab')
})

void test('it is the least of all where there are few', async () => {
  fc.assert(fc.property(fc.constantFrom('lc', 'wlc'), fc.array(fc.tuple(weight, fc.nat(50), fc.boolean()), { maxLength: 16 }), (kind, rows) => {
    const all = endpoints(...rows.map(([its]) => its))
    const active = new Counts(rows.map(([, count]) => count))
    const tried = all.filter((_, index) => rows[index]?.[2] === true)
    const left = all.filter((endpoint) => endpoint.weight > 0 && !tried.includes(endpoint))
    const load = (endpoint: (typeof all)[number]): number => (active.of(endpoint) + 1) / (kind === 'lc' ? 1 : endpoint.weight)
    const picked = new LeastConnection(kind, all, { active }).pick(tried)
    return picked === undefined ? left.length === 0 : left.includes(picked) && left.every((endpoint) => load(picked) <= load(endpoint))
  }))
})

void test('connections that come and stay lie as the weights say', async () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 16 }), (weights) => {
    const active = new Counts()
    const scheduler = new LeastConnection('wlc', endpoints(...weights), { active })
    const sum = weights.reduce((total, each) => total + each, 0)
    for (let connection = 0; connection < 3 * sum; connection++) {
      const picked = scheduler.pick([])
      if (picked !== undefined) active.began(picked)
    }
    return weights.every((each, index) => active.rows[index] === 3 * each)
  }))
})

void test('of many the fullest has hardly more than its share, and heavy ones get theirs', async (t) => {
  const weights = Array.from({ length: 300 }, (_, index) => index % 3 + 1)
  const active = new Counts()
  const scheduler = new LeastConnection('wlc', endpoints(...weights), { active })
  for (let connection = 0; connection < 30_000; connection++) {
    const picked = scheduler.pick([])
    if (picked !== undefined) active.began(picked)
  }
  const loads = weights.map((each, index) => (active.rows[index] ?? 0) / each)
  t.ok(Math.max(...loads) <= 51 && Math.min(...loads) >= 44, `30,000 on 600: ${Math.min(...loads)} to ${Math.max(...loads)} for a weight of 1`)
})

void test('of many, whatever was tried, the next one is another that takes connections, until none is left', async () => {
  fc.assert(fc.property(fc.array(weight, { minLength: 17, maxLength: 60 }), fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }), fc.nat(), (weights, isTried, firstIndex) => {
    const all = endpoints(...weights)
    const tried = all.filter((_, index) => isTried[index])
    const left = all.filter((endpoint) => endpoint.weight > 0 && !tried.includes(endpoint))
    const picked = new LeastConnection('wlc', all, { active: new Counts(), firstIndex }).pick(tried)
    return picked === undefined ? left.length === 0 : left.includes(picked)
  }))
})

void test('two threads that see the same counts do not both go where one of many was drawn', async (t) => {
  const all = endpoints(...Array.from({ length: 100 }, () => 1))
  const ofThread = (firstIndex: number): string => names(new LeastConnection('lc', all, { active: new Counts(), firstIndex }), 20)
  t.equal(ofThread(1), ofThread(1))
  t.not(ofThread(1), ofThread(2))
  t.ok(Math.max(...shares(new LeastConnection('lc', all, { active: new Counts() }), 1_000)) < 40)
})
