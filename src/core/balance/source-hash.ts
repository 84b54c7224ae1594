// Source hash (IPVS `sh`): a client's address says which endpoint it gets, by weight. Another endpoint, or another weight, and
// most clients get another one: `mh` is for that.
//
// Where that one was tried, the client's next ones are drawn by the same rule (IPVS `sh-fallback`): so the clients of an
// endpoint that refuses are spread over the others, and each goes to the same one again.

import type { Endpoint } from './endpoint.ts'
import { usableOf, type Scheduler } from './scheduler.ts'
import { sourceHash } from '../net/source-key.ts'
import { mixBits } from '../stable-hash.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** Then those that are left follow in their order. */
const drawsMax = 64

export class SourceHash implements Scheduler {
  readonly kind = 'sh'
  readonly endpoints: readonly Endpoint[]
  readonly #usable: readonly Endpoint[]
  readonly #draw: WeightedDraw

  constructor(endpoints: readonly Endpoint[]) {
    this.endpoints = endpoints
    this.#usable = inOrderOfNames(endpoints)
    this.#draw = new WeightedDraw(this.#usable.map(({ weight }) => weight))
  }

  pick(tried: readonly Endpoint[], source: string): Endpoint | undefined {
    if (this.#usable.length === 0) return undefined
    const key = sourceHash(source)
    for (let draw = 0; draw < drawsMax; draw++) {
      const endpoint = this.#usable[this.#draw.at(mixBits(key + draw))]
      if (endpoint !== undefined && !tried.includes(endpoint)) return endpoint
    }
    return this.#usable.find((endpoint) => !tried.includes(endpoint))
  }
}

/** Those that take connections: what is made of them does not depend on the order in which they were listed. */
export function inOrderOfNames(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return usableOf(endpoints).toSorted((left, right) => left.name < right.name ? -1 : left.name > right.name ? 1 : 0)
}
