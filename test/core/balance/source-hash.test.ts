// Source hash: the same client, the same endpoint; by weight; and where to when that one was tried.

import fc from 'fast-check'
import { test } from 'tap'
import { SourceHash } from '../../../src/core/balance/source-hash.ts'
import { endpoints, shares } from './endpoints.ts'

const address = fc.ipV4()

void test('a client gets the same endpoint each time, on every gateway, however they are listed', async () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 65_535 }), { minLength: 1, maxLength: 20 }), address, fc.nat(19), (weights, source, turn) => {
    const all = endpoints(...weights)
    const scheduler = new SourceHash(all)
    const other = new SourceHash([...all.slice(turn), ...all.slice(0, turn)])
    const picked = scheduler.pick([], source)
    return scheduler.pick([], source) === picked && other.pick([], source) === picked && (picked === undefined ? weights.every((weight) => weight === 0) : picked.weight > 0)
  }))
})

void test('clients are spread as the weights say', async (t) => {
  const counts = shares(new SourceHash(endpoints(3, 0, 1, 1)), 50_000, (pick) => `10.${pick >> 16}.${pick >> 8 & 255}.${pick & 255}`)
  t.same(counts.map((count) => Math.round(count / 1_000)), [30, 0, 10, 10])
})

void test('the clients of an endpoint that refuses are spread over the others, each to the same one again', async (t) => {
  const scheduler = new SourceHash(endpoints(1, 1, 1))
  const [dead] = scheduler.endpoints
  if (dead === undefined) return
  const counts = new Map<string | undefined, number>()
  for (let client = 0; client < 3_000; client++) {
    const source = `10.0.${client >> 8}.${client & 255}`
    if (scheduler.pick([], source) !== dead) continue
    const next = scheduler.pick([dead], source)
    counts.set(next?.name, (counts.get(next?.name) ?? 0) + 1)
    if (scheduler.pick([dead], source) !== next) t.fail('another one')
  }
  t.same(new Set(counts.keys()), new Set(['b', 'c']))
  t.ok(Math.min(...counts.values()) > 400, [...counts.values()].join(' '))
})

void test('whatever was tried, the next one is another that takes connections, until none is left', async () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom(0, 1, 65_535), fc.boolean()), { maxLength: 20 }), address, (rows, source) => {
    const scheduler = new SourceHash(endpoints(...rows.map(([weight]) => weight)))
    const tried = scheduler.endpoints.filter((_, index) => rows[index]?.[1] === true)
    const left = scheduler.endpoints.filter((endpoint) => endpoint.weight > 0 && !tried.includes(endpoint))
    const picked = scheduler.pick(tried, source)
    return picked === undefined ? left.length === 0 : left.includes(picked)
  }))
})
