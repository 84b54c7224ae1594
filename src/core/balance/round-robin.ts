// Round robin (IPVS `rr`): each endpoint in its turn, whatever its load or weight. Weight 0 is passed over.
//
// A further attempt of one connection takes a turn like any other: so the turns of an endpoint that refuses go round the
// others, and do not all fall to its neighbour. So do those of one that is down. One that starts slowly takes so many of its turns
// as is its share; the others go to its neighbour.

import { allReady, passedOver, SlowTurns, type EndpointStates } from './endpoint-states.ts'
import type { Endpoint } from './endpoint.ts'
import { usableOf, type Scheduler } from './scheduler.ts'

export class RoundRobin implements Scheduler {
  readonly kind = 'rr'
  readonly endpoints: readonly Endpoint[]
  readonly #usable: readonly Endpoint[]
  readonly #states: EndpointStates
  readonly #slowTurns: SlowTurns
  #next: number

  /**
   * @param firstIndex whose turn it is first: a whole number, 0 or more, counted round. Different ones keep the tenants of
   *   a pool, and the gateways, from all beginning at its first node.
   */
  constructor(endpoints: readonly Endpoint[], firstIndex = 0, states: EndpointStates = allReady) {
    this.endpoints = endpoints
    this.#usable = usableOf(endpoints)
    this.#states = states
    this.#slowTurns = new SlowTurns(this.#usable.length)
    this.#next = firstIndex
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    const [closed, held] = passedOver
    return this.#take(tried, closed, true) ?? this.#take(tried, closed, false) ?? this.#take(tried, held, false)
  }

  /** @param closed bits of the states that are passed over @param sparesSlow lets those that start slowly wait */
  #take(tried: readonly Endpoint[], closed: number, sparesSlow: boolean): Endpoint | undefined {
    for (let step = 0; step < this.#usable.length; step++) {
      const index = (this.#next + step) % this.#usable.length
      const endpoint = this.#usable[index]
      if (endpoint === undefined || tried.includes(endpoint)) continue
      const state = this.#states.of(endpoint)
      if (state !== 0 && ((state & closed) !== 0 || (sparesSlow && !this.#slowTurns.takes(index, state)))) continue
      this.#next = (index + 1) % this.#usable.length
      return endpoint
    }
    return undefined
  }
}
