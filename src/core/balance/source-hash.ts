// Source hash (IPVS `sh`): a client's address says which endpoint it gets, by weight. Another endpoint, or another weight, and
// most clients get another one: `mh` is for that.
//
// Where that one was tried, the client's next ones are drawn by the same rule (IPVS `sh-fallback`): so the clients of an
// endpoint that refuses are spread over the others, and each goes to the same one again. So it is with those of one that is down.
// Where one starts slowly, its first clients are those that come first to any; as its share grows others follow, and none leaves.

import { allReady, passedOver, shareOf, type EndpointStates } from './endpoint-states.ts'
import type { Endpoint } from './endpoint.ts'
import { usableOf, type Scheduler } from './scheduler.ts'
import { sourceHash } from '../net/source-key.ts'
import { mixBits } from '../stable-hash.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** Then those that are left follow in their order. */
const drawsMax = 64
/** Makes of a client's key how early it comes to endpoints that start slowly. */
const earlinessSalt = 0x5bd1e995

export class SourceHash implements Scheduler {
  readonly kind = 'sh'
  readonly endpoints: readonly Endpoint[]
  readonly #usable: readonly Endpoint[]
  readonly #states: EndpointStates
  readonly #draw: WeightedDraw

  constructor(endpoints: readonly Endpoint[], states: EndpointStates = allReady) {
    this.endpoints = endpoints
    this.#usable = inOrderOfNames(endpoints)
    this.#states = states
    this.#draw = new WeightedDraw(this.#usable.map(({ weight }) => weight))
  }

  pick(tried: readonly Endpoint[], source: string): Endpoint | undefined {
    if (this.#usable.length === 0) return undefined
    const key = sourceHash(source)
    const [closed, held] = passedOver
    return this.#draws(tried, key, closed) ?? this.#first(tried, closed) ?? this.#draws(tried, key, held) ?? this.#first(tried, held)
  }

  /** @param closed bits of the states that are passed over */
  #draws(tried: readonly Endpoint[], key: number, closed: number): Endpoint | undefined {
    for (let draw = 0; draw < drawsMax; draw++) {
      const endpoint = this.#usable[this.#draw.at(mixBits(key + draw))]
      if (endpoint === undefined || tried.includes(endpoint)) continue
      const state = this.#states.of(endpoint)
      if (state === 0 || ((state & closed) === 0 && mixBits(key ^ earlinessSalt) < shareOf(state) * 2 ** 32)) return endpoint
    }
    return undefined
  }

  #first(tried: readonly Endpoint[], closed: number): Endpoint | undefined {
    return this.#usable.find((endpoint) => !tried.includes(endpoint) && (this.#states.of(endpoint) & closed) === 0)
  }
}

/** Those that take connections: what is made of them does not depend on the order in which they were listed. */
export function inOrderOfNames(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return usableOf(endpoints).toSorted((left, right) => left.name < right.name ? -1 : left.name > right.name ? 1 : 0)
}
