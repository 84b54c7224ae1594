// The table of `mh`: Maglev hashing (D. E. Eisenbud and others, "Maglev", NSDI 2016, §3.4), but for how it is filled.
//
// Each endpoint's name gives it an order of all entries of its own. In turn, each looks at the next one in its order, and takes it
// if nobody has it, until it has its share. (In Maglev it looks on until it finds a free one.) So an entry is with the endpoint
// whose order has it first, as in rendezvous hashing, unless that had its share by then: the table depends on names and weights only,
// all have their share but for one entry, and when an endpoint comes or goes most entries stay with whom they were. With twice the
// weight an endpoint looks twice as often.
//
// How many more entries move than must is a matter of n² to the table's size: with a quarter, as here, 1.3 to 1.4 times as many, and of
// 100,000 random sets of 2 to 32 endpoints the worst 1.6 times. Tables end at 131,071 entries, with which 256 endpoints come to
// 1.7. Of more, each may have more than its share, so that fewer are passed on from one to the next: 1.2 for 1,000, 1.8 for 5,000.

import { stableHash } from '../stable-hash.ts'

/** Primes below powers of two, as those of IPVS: a table has the first that is so large, and never fewer than 100 entries an endpoint. */
const sizes = [
  { endpointsMax: 32, entries: 4_093 },
  { endpointsMax: 64, entries: 16_381 },
  { endpointsMax: 128, entries: 65_521 },
] as const
const entriesMax = 131_071
/** Of endpoints, as far as all have their share but for one entry. */
const evenMax = 256
/** Of its share, what an endpoint may have beyond it, times the part of the endpoints that are beyond `evenMax`. */
const excessMax = 1 / 8
const weightMax = 65_535
/** From one turn to the next, of the time that has passed: fewer than 200 turns fill a table whose weights are the same. */
const turnPart = 1 / 16

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
  const [table, nobody] = count <= 0xff ? [new Uint8Array(entries), 0xff] : [new Uint16Array(entries), 0xffff]
  table.fill(nobody)
  const weights = Int32Array.from(endpoints, ({ weight }) => weight)
  // An order has each whole number of so many bits once: steps that start over, mixed by shifts and a product. One that is no entry is a look for nothing.
  const bits = 32 - Math.clz32(entries - 1)
  const mask = 2 ** bits - 1
  const half = bits >>> 1
  const first = Int32Array.from(endpoints, ({ name }) => stableHash(`first ${name}`))
  const step = Int32Array.from(endpoints, ({ name }) => stableHash(`step ${name}`) | 1)
  const factor = Int32Array.from(endpoints, ({ name }) => stableHash(`factor ${name}`) | 1)
  const room = roomOf(weights, entries)
  const looks = new Int32Array(count)
  const open = Int32Array.from(weights.keys())
  let openCount = count
  let left = entries
  // Time times weight is how often an endpoint has looked, and turns are at the same times in all tables: but for the first one who looks before whom is no matter of who else there is.
  let time = 1 / weightMax
  const heaviest = weights.reduce((most, weight) => Math.max(most, weight), 0)
  while (time * heaviest < 1) time += time * turnPart
  // In the first turn each looks until it has one, the lightest too.
  for (let isFirst = true; left > 0; isFirst = false) {
    let kept = 0
    for (let at = 0; at < openCount; at++) {
      const index = open[at] ?? 0
      const from = first[index] ?? 0
      const by = step[index] ?? 0
      const times = factor[index] ?? 0
      let look = looks[index] ?? 0
      let its = room[index] ?? 0
      const looksUntil = isFirst ? mask + 1 : Math.floor(time * (weights[index] ?? 0))
      const itsUntil = isFirst ? its - 1 : 0
      for (; look < looksUntil && its > itsUntil; look++) {
        let entry = from + Math.imul(look, by) & mask
        entry = Math.imul(entry ^ entry >>> half, times) & mask
        entry ^= entry >>> half
        if (entry >= entries || table[entry] !== nobody) continue
        table[entry] = index
        its -= 1
        left -= 1
      }
      looks[index] = look
      room[index] = its
      if (its > 0) open[kept++] = index
    }
    openCount = kept
    if (!isFirst) time += time * turnPart
  }
  return table
}

/** @returns how many entries each may have, one at least: in all what there is, and of more than `evenMax` endpoints more than that */
function roomOf(weights: Int32Array, entries: number): Int32Array {
  const room = new Int32Array(weights.length)
  let left = entries + Math.floor(entries * excessMax * Math.max(0, 1 - evenMax / weights.length))
  let leftWeight = weights.reduce((sum, weight) => sum + weight, 0)
  // The lightest first: what they have beyond their share is what the heaviest don't.
  for (const index of Array.from(weights.keys()).toSorted((one, other) => (weights[one] ?? 0) - (weights[other] ?? 0))) {
    const weight = weights[index] ?? 0
    const its = Math.max(1, Math.floor(left * weight / leftWeight))
    room[index] = its
    left -= its
    leftWeight -= weight
  }
  return room
}
