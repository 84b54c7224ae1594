// The table of `mh`: Maglev hashing (D. E. Eisenbud and others, "Maglev", NSDI 2016, §3.4).
//
// Each endpoint's name gives it an order of all entries of its own. In turn, each takes the first in its order that nobody
// has, until none is left. So it depends on names and weights only, all have their share but for one entry, and when an
// endpoint comes or goes most entries stay with whom they were. Weights are turns: the heaviest endpoints have one in each
// round, the others as many as is their share, the first one in the first round.
//
// How many more entries move than must is a matter of n² to the table's size: with a quarter, as here, under twice as many, but for
// one or two in a thousand sets of endpoints (of 20,000 random ones of 2 to 32: 45, the worst 3.2 times), where two orders have the same steps.
// Tables end at 131,071 entries, so from 181 endpoints on it is more, up to some ln n times: seven for a thousand.

import { stableHash } from '../stable-hash.ts'

/** Primes below powers of two, as those of IPVS: a table has the first that is so large, and never fewer than 100 entries an endpoint. */
const sizes = [
  { endpointsMax: 32, entries: 4_093 },
  { endpointsMax: 64, entries: 16_381 },
  { endpointsMax: 128, entries: 65_521 },
] as const
const entriesMax = 131_071

/** By entry, an index of the endpoints. */
export type MaglevTable = Uint8Array | Uint16Array

export interface MaglevEndpoint {
  readonly name: string
  /** Greater than 0. */
  readonly weight: number
}

/** @param listed endpoints that there are, the quiesced ones too: one that is quiesced does not make the table another size */
export function maglevEntries(listed: number): number {
  return sizes.find(({ endpointsMax }) => listed <= endpointsMax)?.entries ?? entriesMax
}

/** @param endpoints one at least, in the order of their names */
export function createMaglevTable(endpoints: readonly MaglevEndpoint[], entries: number): MaglevTable {
  const count = endpoints.length
  const heaviest = endpoints.reduce((most, { weight }) => Math.max(most, weight), 0)
  const [table, nobody] = count <= 0xff ? [new Uint8Array(entries), 0xff] : [new Uint16Array(entries), 0xffff]
  table.fill(nobody)
  const next = Int32Array.from(endpoints, ({ name }) => stableHash(`offset ${name}`) % entries)
  const skip = Int32Array.from(endpoints, ({ name }) => stableHash(`skip ${name}`) % (entries - 1) + 1)
  const weights = Int32Array.from(endpoints, ({ weight }) => weight)
  /** Rounds times weight, at which the next turn comes. */
  const due = new Float64Array(count)
  let left = entries
  for (let round = 1; ; round++) {
    for (let index = 0; index < count; index++) {
      if (round * (weights[index] ?? 0) < (due[index] ?? 0)) continue
      due[index] = (due[index] ?? 0) + heaviest
      let entry = next[index] ?? 0
      while (table[entry] !== nobody) entry = stepped(entry, skip[index] ?? 0, entries)
      table[entry] = index
      next[index] = stepped(entry, skip[index] ?? 0, entries)
      left -= 1
      if (left === 0) return table
    }
  }
}

function stepped(entry: number, skip: number, entries: number): number {
  const next = entry + skip
  return next >= entries ? next - entries : next
}
