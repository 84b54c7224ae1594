// Least connection (IPVS `lc`, `wlc`): to the endpoint with the fewest connections, or with the fewest for its weight.
//
// `wlc` compares (active + 1) / weight, what the load would be with this one: so of idle endpoints the heaviest comes first.
// Those that are equal take turns. Where there are more than `looksMax` endpoints it compares so many of them, drawn at random
// by weight: the fullest is then hardly any fuller than if all were compared, at the cost of few
// (M. Mitzenmacher, "The Power of Two Choices", 2001), and threads that look at the same time do not all see the same one.
//
// An endpoint that refuses is the emptiest, and is tried first, until its checks take it out (endpoint-states.ts). One that comes
// back is the emptiest too, and would get all that comes: while it starts slowly its share scales its weight, with `lc` from 1.

import type { ActiveCounts } from './active-counts.ts'
import { allReady, passedOver, shareOf, type EndpointStates } from './endpoint-states.ts'
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
  /** @default all are ready */
  readonly states?: EndpointStates
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
  readonly #states: EndpointStates
  readonly #looksMax: number
  readonly #draw: WeightedDraw | undefined
  #next: number
  #seed: number

  constructor(kind: 'lc' | 'wlc', endpoints: readonly Endpoint[], options: LeastConnectionOptions) {
    this.kind = kind
    this.endpoints = endpoints
    this.#usable = usableOf(endpoints)
    this.#active = options.active
    this.#states = options.states ?? allReady
    this.#looksMax = options.looksMax ?? looksMax
    this.#draw = this.#usable.length <= this.#looksMax ? undefined : new WeightedDraw(this.#usable.map((endpoint) => this.#weightOf(endpoint)))
    this.#next = options.firstIndex ?? 0
    this.#seed = this.#next
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    const [closed, held] = passedOver
    const drawn = this.#draw === undefined ? undefined : this.#best(tried, closed, this.#draw)
    // Where all that were drawn were tried, or are down, the others follow in turn.
    return drawn ?? this.#best(tried, closed, undefined) ?? this.#best(tried, held, undefined)
  }

  /** @param closed bits of the states that are passed over @param draw absent: all of them are compared */
  #best(tried: readonly Endpoint[], closed: number, draw: WeightedDraw | undefined): Endpoint | undefined {
    const count = this.#usable.length
    let best: Endpoint | undefined
    let bestActive = 0
    let bestWeight = 0
    let bestAt = 0
    for (let look = 0; look < (draw === undefined ? count : this.#looksMax); look++) {
      const at = draw === undefined ? (this.#next + look) % count : draw.at(this.#random())
      const endpoint = this.#usable[at]
      if (endpoint === undefined || tried.includes(endpoint)) continue
      const state = this.#states.of(endpoint)
      if ((state & closed) !== 0) continue
      const active = this.#active.of(endpoint)
      const weight = state === 0 ? this.#weightOf(endpoint) : this.#weightOf(endpoint) * shareOf(state)
      if (best !== undefined && (active + 1) * bestWeight >= (bestActive + 1) * weight) continue
      best = endpoint
      bestActive = active
      bestWeight = weight
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
