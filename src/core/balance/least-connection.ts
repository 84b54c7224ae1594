// Least connection (IPVS `lc`, `wlc`): to the endpoint with the fewest connections, or with the fewest for its weight.
//
// `wlc` compares (active + 1) / weight, what the load would be with this one: so of idle endpoints the heaviest comes first.
// Those that are equal take turns. Where there are more than `looksMax` endpoints it compares so many of them, drawn at random
// by weight: the fullest is then hardly any fuller than if all were compared, at the cost of few
// (M. Mitzenmacher, "The Power of Two Choices", 2001), and threads that look at the same time do not all see the same one.
//
// An endpoint that refuses is the emptiest, and is tried first, until something takes it out.

import type { ActiveCounts } from './active-counts.ts'
import type { Endpoint } from './endpoint.ts'
import { usableOf, type Scheduler } from './scheduler.ts'
import { mixBits } from '../stable-hash.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** Endpoints compared for a pick. */
const looksMax = 16
/** 2³² divided by the golden ratio: each multiple is far from those before. */
const step = 0x9e3779b9

export interface LeastConnectionOptions {
  readonly active: ActiveCounts
  /** Where ties begin, and what is drawn: a whole number, 0 or more. @default 0 */
  readonly firstIndex?: number
  /** @default 16 */
  readonly looksMax?: number
}

export class LeastConnection implements Scheduler {
  readonly kind: 'lc' | 'wlc'
  readonly endpoints: readonly Endpoint[]
  readonly #usable: readonly Endpoint[]
  readonly #active: ActiveCounts
  readonly #looksMax: number
  readonly #draw: WeightedDraw | undefined
  #next: number
  #seed: number

  constructor(kind: 'lc' | 'wlc', endpoints: readonly Endpoint[], options: LeastConnectionOptions) {
    this.kind = kind
    this.endpoints = endpoints
    this.#usable = usableOf(endpoints)
    this.#active = options.active
    this.#looksMax = options.looksMax ?? looksMax
    this.#draw = this.#usable.length <= this.#looksMax ? undefined : new WeightedDraw(this.#usable.map((endpoint) => this.#weightOf(endpoint)))
    this.#next = options.firstIndex ?? 0
    this.#seed = this.#next
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    const drawn = this.#draw === undefined ? undefined : this.#best(tried, this.#draw)
    // Where all that were drawn were tried, the others follow in turn.
    return drawn ?? this.#best(tried, undefined)
  }

  /** @param draw absent: all of them are compared */
  #best(tried: readonly Endpoint[], draw: WeightedDraw | undefined): Endpoint | undefined {
    const count = this.#usable.length
    let best: Endpoint | undefined
    let bestActive = 0
    let bestAt = 0
    for (let look = 0; look < (draw === undefined ? count : this.#looksMax); look++) {
      const at = draw === undefined ? (this.#next + look) % count : draw.at(this.#random())
      const endpoint = this.#usable[at]
      if (endpoint === undefined || tried.includes(endpoint)) continue
      const active = this.#active.of(endpoint)
      if (best !== undefined && (active + 1) * this.#weightOf(best) >= (bestActive + 1) * this.#weightOf(endpoint)) continue
      best = endpoint
      bestActive = active
      bestAt = at
    }
    if (best !== undefined) this.#next = bestAt + 1
    return best
  }

  #weightOf({ weight }: Endpoint): number {
    return this.kind === 'lc' ? 1 : weight
  }

  #random(): number {
    this.#seed = (this.#seed + step) | 0
    return mixBits(this.#seed)
  }
}
