// Maglev hashing (IPVS `mh`): a client's address says which endpoint it gets, the same on every gateway, and few clients get
// another one when endpoints come and go (maglev-table.ts).
//
// Loads are bounded (V. Mirrokni and others, "Consistent Hashing with Bounded Loads", 2018): an endpoint with more than
// `loadMax` times its share of this gateway's connections is passed over, and so is one that was tried. Who is passed on goes to
// the next entry's, so that the clients of one endpoint are spread over all the others.

import type { ActiveCounts } from './active-counts.ts'
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
  readonly #weight: number
  /** Made with the first pick: most changes of a configuration make more tenants than have clients just then. */
  #table: MaglevTable | undefined
  /** As last read, by index in `#usable`. */
  readonly #lastActive: number[]
  #lastTotal = 0
  #nextLook = 0

  constructor(endpoints: readonly Endpoint[], active: ActiveCounts) {
    this.endpoints = endpoints
    this.#usable = inOrderOfNames(endpoints)
    this.#active = active
    this.#weight = this.#usable.reduce((sum, { weight }) => sum + weight, 0)
    this.#lastActive = this.#usable.map(() => 0)
  }

  pick(tried: readonly Endpoint[], source: string): Endpoint | undefined {
    if (this.#usable.length <= 1) return this.#firstUntried(tried)
    this.#table ??= createMaglevTable(this.#usable, maglevEntries(this.endpoints.length))
    this.#look()
    const table = this.#table
    const first = sourceHash(source) % table.length
    let overloaded: Endpoint | undefined
    let previous = -1
    for (let step = 0; step < entriesWalkedMax; step++) {
      const index = table[(first + step) % table.length] ?? 0
      if (index === previous) continue
      previous = index
      const endpoint = this.#usable[index]
      if (endpoint === undefined || tried.includes(endpoint)) continue
      if (this.#active.of(endpoint) < loadMax * (this.#lastTotal + 1) * endpoint.weight / this.#weight) return endpoint
      overloaded ??= endpoint
    }
    return overloaded ?? this.#firstUntried(tried)
  }

  #firstUntried(tried: readonly Endpoint[]): Endpoint | undefined {
    return this.#usable.find((endpoint) => !tried.includes(endpoint))
  }

  #look(): void {
    const count = this.#usable.length
    for (let looks = Math.min(count, looksMax); looks > 0; looks--) {
      const index = this.#nextLook
      const endpoint = this.#usable[index]
      if (endpoint === undefined) break
      const active = this.#active.of(endpoint)
      this.#lastTotal += active - (this.#lastActive[index] ?? 0)
      this.#lastActive[index] = active
      this.#nextLook = index + 1 === count ? 0 : index + 1
    }
  }
}
