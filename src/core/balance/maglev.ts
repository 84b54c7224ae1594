// Maglev hashing (IPVS `mh`): a client's address says which endpoint it gets, the same on every gateway, and few clients get
// another one when endpoints come and go (maglev-table.ts).
//
// Loads are bounded (V. Mirrokni and others, "Consistent Hashing with Bounded Loads", 2018): an endpoint with more than
// `loadMax` times its share of this gateway's connections is passed over, and so is one that was tried. Who is passed on goes to
// the next entry's, so that the clients of one endpoint are spread over all the others. Those that are down are passed over too:
// the table stays, so their clients find them again, and nobody else moves. While one starts slowly its bound has its share.

import type { ActiveCounts } from './active-counts.ts'
import { allReady, passedOver, shareOf, type EndpointStates } from './endpoint-states.ts'
import type { Endpoint } from './endpoint.ts'
import { createMaglevTable, maglevEntries, type MaglevTable } from './maglev-table.ts'
import type { Scheduler } from './scheduler.ts'
import { inOrderOfNames } from './source-hash.ts'
import { sourceHash } from '../net/source-key.ts'

const loadMax = 1.25
/** Endpoints whose counts are read anew for a pick: with more of them what all have is as of some picks ago. */
const looksMax = 16
/** Where all of these are passed over, it is the first one's after all. */
const entriesWalkedMax = 4_093

export class Maglev implements Scheduler {
  readonly kind = 'mh'
  readonly endpoints: readonly Endpoint[]
  readonly #usable: readonly Endpoint[]
  readonly #active: ActiveCounts
  readonly #states: EndpointStates
  /** Made with the first pick: most changes of a configuration make more tenants than have clients just then. */
  #table: MaglevTable | undefined
  /** As last read, by index in `#usable`; of those that are passed over nothing counts. */
  readonly #lastActive: number[]
  readonly #lastWeight: number[]
  #lastTotal = 0
  #lastTotalWeight: number
  #nextLook = 0

  constructor(endpoints: readonly Endpoint[], active: ActiveCounts, states: EndpointStates = allReady) {
    this.endpoints = endpoints
    this.#usable = inOrderOfNames(endpoints)
    this.#active = active
    this.#states = states
    this.#lastActive = this.#usable.map(() => 0)
    this.#lastWeight = this.#usable.map(({ weight }) => weight)
    this.#lastTotalWeight = this.#lastWeight.reduce((sum, weight) => sum + weight, 0)
  }

  pick(tried: readonly Endpoint[], source: string): Endpoint | undefined {
    const [closed, held] = passedOver
    if (this.#usable.length <= 1) return this.#first(tried, held)
    this.#table ??= createMaglevTable(this.#usable, maglevEntries(this.endpoints.length))
    this.#look()
    const key = sourceHash(source)
    return this.#walk(this.#table, tried, key, closed) ?? this.#first(tried, closed) ?? this.#walk(this.#table, tried, key, held) ?? this.#first(tried, held)
  }

  /** @param closed bits of the states that are passed over */
  #walk(table: MaglevTable, tried: readonly Endpoint[], key: number, closed: number): Endpoint | undefined {
    const first = key % table.length
    let overloaded: Endpoint | undefined
    let previous = -1
    for (let step = 0; step < entriesWalkedMax; step++) {
      const index = table[(first + step) % table.length] ?? 0
      if (index === previous) continue
      previous = index
      const endpoint = this.#usable[index]
      if (endpoint === undefined || tried.includes(endpoint)) continue
      const state = this.#states.of(endpoint)
      if ((state & closed) !== 0) continue
      // Nothing counts, so nothing bounds.
      if (this.#lastTotalWeight === 0) return endpoint
      const weight = state === 0 ? endpoint.weight : endpoint.weight * shareOf(state)
      if (this.#active.of(endpoint) < loadMax * (this.#lastTotal + 1) * weight / this.#lastTotalWeight) return endpoint
      overloaded ??= endpoint
    }
    return overloaded
  }

  #first(tried: readonly Endpoint[], closed: number): Endpoint | undefined {
    return this.#usable.find((endpoint) => !tried.includes(endpoint) && (this.#states.of(endpoint) & closed) === 0)
  }

  #look(): void {
    const count = this.#usable.length
    const [closed] = passedOver
    for (let looks = Math.min(count, looksMax); looks > 0; looks--) {
      const index = this.#nextLook
      const endpoint = this.#usable[index]
      if (endpoint === undefined) break
      const state = this.#states.of(endpoint)
      const isOpen = (state & closed) === 0
      const active = isOpen ? this.#active.of(endpoint) : 0
      const weight = state === 0 ? endpoint.weight : isOpen ? endpoint.weight * shareOf(state) : 0
      this.#lastTotal += active - (this.#lastActive[index] ?? 0)
      this.#lastActive[index] = active
      this.#lastTotalWeight += weight - (this.#lastWeight[index] ?? 0)
      this.#lastWeight[index] = weight
      this.#nextLook = index + 1 === count ? 0 : index + 1
    }
  }
}
