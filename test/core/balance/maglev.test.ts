// Maglev: the table (same everywhere, even, few move), and what the scheduler makes of it: loads are bounded.

import fc from 'fast-check'
import { test } from 'tap'
import type { Endpoint } from '../../../src/core/balance/endpoint.ts'
import { createMaglevTable, maglevEntries } from '../../../src/core/balance/maglev-table.ts'
import { Maglev } from '../../../src/core/balance/maglev.ts'
import { Counts, endpoints } from './endpoints.ts'

function addressesOf(count: number): Endpoint[] {
  return addressesAt(Array.from({ length: count }, (_, index) => index))
}

function addressesAt(indices: readonly number[]): Endpoint[] {
  return indices.map((index, row) => ({ name: `10.1.${index >> 8}.${index & 255}:31443`, address: '', port: 31443, weight: 1, row }))
}

/** By entry, the name that has it. */
function owners(all: readonly Endpoint[], entries = maglevEntries(all.length)): string[] {
  const sorted = all.toSorted((left, right) => left.name < right.name ? -1 : 1)
  return Array.from(createMaglevTable(sorted, entries), (index) => sorted[index]?.name ?? '')
}

/** By endpoint, how many entries have its name. */
function countsOf(all: readonly Endpoint[], names: readonly string[]): number[] {
  const counts = new Map(all.map(({ name }) => [name, 0]))
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts.values()]
}

function moved(before: readonly string[], after: readonly string[]): number {
  return before.filter((name, entry) => name !== after[entry]).length / before.length
}

const source = fc.ipV4()
const someAddresses = fc.uniqueArray(fc.nat(1_000), { minLength: 2, maxLength: 32 }).map(addressesAt)

void test('a table has a hundred entries for each endpoint, and its size is a prime', async (t) => {
  for (const count of [1, 32, 33, 64, 65, 128, 129, 1_000]) {
    const entries = maglevEntries(count)
    t.ok(entries >= 100 * count, `${count}: ${entries}`)
    for (let divisor = 2; divisor * divisor <= entries; divisor++) if (entries % divisor === 0) t.fail(`${entries} is no prime`)
  }
})

void test('each endpoint has its share of the entries, but for one', async (t) => {
  for (const count of [1, 2, 3, 10, 32, 64, 256]) {
    const all = addressesOf(count)
    const counts = countsOf(all, owners(all))
    t.ok(Math.min(...counts) > 0)
    t.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${count}: ${Math.min(...counts)} to ${Math.max(...counts)}`)
  }
})

void test('… and of more than 256 none has an eighth more than its share', async (t) => {
  for (const count of [257, 1_000, 5_000]) {
    const all = addressesOf(count)
    const counts = countsOf(all, owners(all))
    t.ok(Math.min(...counts) > 0)
    t.ok(Math.max(...counts) <= Math.ceil(maglevEntries(count) / count * 1.125), `${count}: ${Math.max(...counts)}`)
  }
})

void test('weights are shares of the entries, and the lightest has one at least', async (t) => {
  for (const [weights, expected] of [[[1, 1, 2], [1_023, 1_023, 2_047]], [[65_535, 65_535, 1], [2_046, 2_046, 1]], [[300, 100, 0], [3_070, 1_023, 0]], [[65_535, ...Array.from({ length: 31 }, () => 1)], [4_062, ...Array.from({ length: 31 }, () => 1)]]] as const) {
    const all = endpoints(...weights)
    const counts = countsOf(all, owners(all.filter(({ weight }) => weight > 0), maglevEntries(all.length)))
    t.ok(counts.every((count, index) => Math.abs(count - (expected[index] ?? 0)) <= 2), `${weights.join(' ')}: ${counts.join(' ')}`)
  }
  const many = endpoints(...Array.from({ length: 999 }, () => 1), 65_535)
  t.ok(countsOf(many, owners(many)).every((count) => count > 0), 'of many, too')
})

void test('a client gets the same endpoint on every gateway, however the endpoints are listed', async () => {
  fc.assert(fc.property(someAddresses.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))), fc.array(source, { minLength: 20, maxLength: 20 }), ([all, shuffled], sources) => {
    const [one, other] = [new Maglev(all, new Counts()), new Maglev(shuffled, new Counts())]
    return sources.every((each) => one.pick([], each) === other.pick([], each))
  }), { numRuns: 50 })
})

void test('of a change of one endpoint at most twice as many entries move as must', async () => {
  // Of 100,000 random sets the worst had 1.6 times as many. In the example it is 2.2 times where an order is steps of one width, as in Maglev: two endpoints have nearly the same.
  fc.assert(fc.property(someAddresses, (all) => {
    const before = owners(all)
    const after = owners(all.slice(1))
    // One way it left, the other way it came.
    return moved(before, after) <= 2 / all.length
  }), { numRuns: 100, examples: [[addressesAt([973, 524, 107, 888, 582, 626])]] })
})

void test('… also of many endpoints', async (t) => {
  for (const count of [64, 128, 181, 256, 257, 1_000, 5_000]) {
    const all = addressesOf(count)
    const after = owners(all.slice(1), maglevEntries(count))
    const ratio = moved(owners(all), after) * count
    t.ok(ratio <= 2, `${count}: ${ratio.toFixed(2)} times what must`)
  }
})

void test('an endpoint that is quiesced moves as one that leaves, and nobody else', async (t) => {
  const all = addressesOf(33)
  const quiesced = all.map((endpoint, index) => index === 5 ? { ...endpoint, weight: 0 } : endpoint)
  const [before, after] = [new Maglev(all, new Counts()), new Maglev(quiesced, new Counts())]
  const sources = Array.from({ length: 5_000 }, (_, index) => `10.2.${index >> 8}.${index & 255}`)
  const changed = sources.filter((each) => before.pick([], each)?.name !== after.pick([], each)?.name).length
  t.ok(changed <= 2 * sources.length / 33, String(changed))
})

void test('no endpoint gets a connection that makes it more than a quarter fuller than its share', async () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 16 }), fc.array(fc.nat(15), { maxLength: 300 }), fc.array(fc.nat(), { maxLength: 200 }), (weights, sources, leaving) => {
    const active = new Counts()
    const scheduler = new Maglev(endpoints(...weights), active)
    const sum = weights.reduce((total, weight) => total + weight, 0)
    const open: Endpoint[] = []
    return sources.every((client, index) => {
      const picked = scheduler.pick([], `192.0.2.${client}`)
      if (picked === undefined) return false
      active.began(picked)
      open.push(picked)
      const holds = active.of(picked) <= Math.ceil(1.25 * open.length * picked.weight / sum)
      const leaves = leaving[index]
      const [gone] = leaves === undefined ? [] : open.splice(leaves % open.length, 1)
      if (gone !== undefined) active.ended(gone)
      return holds
    })
  }))
})

void test('of many endpoints, too, one client alone does not fill its own', async (t) => {
  const active = new Counts(Array.from({ length: 100 }, () => 0))
  const scheduler = new Maglev(addressesOf(100), active)
  for (let connection = 0; connection < 2_000; connection++) {
    const picked = scheduler.pick([], '192.0.2.7')
    if (picked !== undefined) active.began(picked)
  }
  t.ok(Math.max(...active.rows) <= 26, `2,000 on 100: ${Math.max(...active.rows)}`)
})

void test('the clients of an endpoint that refuses are spread over the others', async (t) => {
  const scheduler = new Maglev(endpoints(1, 1, 1, 1), new Counts())
  const counts = new Map<string | undefined, number>()
  for (let client = 0; client < 4_000; client++) {
    const [dead] = scheduler.endpoints
    const from = `10.0.${client >> 8}.${client & 255}`
    if (dead === undefined || scheduler.pick([], from) !== dead) continue
    const next = scheduler.pick([dead], from)
    counts.set(next?.name, (counts.get(next?.name) ?? 0) + 1)
  }
  t.same(new Set(counts.keys()), new Set(['b', 'c', 'd']))
  t.ok(Math.min(...counts.values()) > 200, [...counts.values()].join(' '))
})

void test('whatever was tried, the next one is another that takes connections, until none is left', async () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom(0, 1, 65_535), fc.boolean(), fc.nat(50)), { maxLength: 20 }), source, (rows, from) => {
    const scheduler = new Maglev(endpoints(...rows.map(([weight]) => weight)), new Counts(rows.map(([, , count]) => count)))
    const tried = scheduler.endpoints.filter((_, index) => rows[index]?.[1] === true)
    const left = scheduler.endpoints.filter((endpoint) => endpoint.weight > 0 && !tried.includes(endpoint))
    const picked = scheduler.pick(tried, from)
    return picked === undefined ? left.length === 0 : left.includes(picked)
  }))
})
