// Round robin (IPVS `rr`): each endpoint in its turn, whatever its load or weight. Weight 0 is passed over.
//
// A further attempt of one connection takes a turn like any other: so the turns of an endpoint that refuses go round the
// others, and do not all fall to its neighbour.

import type { Endpoint } from './endpoint.ts'
import { usableOf, type Scheduler } from './scheduler.ts'

export class RoundRobin implements Scheduler {
  readonly kind = 'rr'
  readonly endpoints: readonly Endpoint[]
  readonly #usable: readonly Endpoint[]
  #next: number

  /**
   * @param firstIndex whose turn it is first: a whole number, 0 or more, counted round. Different ones keep the tenants of
   *   a pool, and the gateways, from all beginning at its first node.
   */
  constructor(endpoints: readonly Endpoint[], firstIndex = 0) {
    this.endpoints = endpoints
    this.#usable = usableOf(endpoints)
    this.#next = firstIndex
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    for (let step = 0; step < this.#usable.length; step++) {
      const index = (this.#next + step) % this.#usable.length
      const endpoint = this.#usable[index]
      if (endpoint === undefined || tried.includes(endpoint)) continue
      this.#next = (index + 1) % this.#usable.length
      return endpoint
    }
    return undefined
  }
}
