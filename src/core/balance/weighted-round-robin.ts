// Weighted round robin (IPVS `wrr`): in turn, each endpoint as often as its weight says.
//
//   weights 5 1 1   here  a a a b a a c      IPVS  a a a a a b c
//
// IPVS gives the heavy ones their turns in a row; here they lie as evenly as they can. A round has as many turns as there is
// weight. An endpoint with weight w of W has its k-th turn (from 0) between turn ⌊kW/w⌋ and turn ⌈(k+1)W/w⌉ of the round, and
// of those that may have one now the one whose time ends first comes first. This is the chairman assignment (R. Tijdeman,
// 1980; the scheduler of real-time systems that is called Pfair): after any number of turns nobody is a whole turn from its
// exact share. The smooth rounds of nginx hold no such bound, and look at every endpoint for every turn. A turn costs O(log n).
//
// A further attempt takes a turn like any other, as with `rr`; what it brings into disorder ends with the round. One that is down is
// asked again once as many turns have gone by as there are endpoints, and has then had the turns that were its own. One that
// starts slowly takes so many of its turns as is its share.

import { allReady, passedOver, shareParts, SlowTurns, type EndpointStates } from './endpoint-states.ts'
import type { Endpoint } from './endpoint.ts'
import { IndexHeap } from './index-heap.ts'
import { usableOf, type Scheduler } from './scheduler.ts'

/** Turns that lapse in a pick because those whose they are start slowly: then one is taken all the same. */
const lapsedMax = 2 * shareParts

export class WeightedRoundRobin implements Scheduler {
  readonly kind = 'wrr'
  readonly endpoints: readonly Endpoint[]
  readonly #usable: readonly Endpoint[]
  /** By index in `#usable`, without what they have in common. */
  readonly #weights: readonly number[]
  readonly #turnsOfRound: number
  /** By index: turns that it has had of this round. */
  readonly #had: number[]
  #turn = 0
  /** May have a turn now, by when its time ends. */
  readonly #due: IndexHeap
  /** By when its time begins. */
  readonly #waiting: IndexHeap
  /** Of one pick: those that are due and were tried. */
  readonly #passed: number[] = []
  /** … and those that are down or held, of `#due` first. */
  readonly #closed: number[] = []
  readonly #states: EndpointStates
  readonly #slowTurns: SlowTurns

  /** @param firstIndex as many turns are taken to have been had: a whole number, 0 or more, counted round */
  constructor(endpoints: readonly Endpoint[], firstIndex = 0, states: EndpointStates = allReady) {
    this.endpoints = endpoints
    this.#usable = usableOf(endpoints)
    this.#states = states
    this.#slowTurns = new SlowTurns(this.#usable.length)
    const common = this.#usable.reduce((divisor, { weight }) => greatestCommonDivisor(divisor, weight), 0)
    this.#weights = this.#usable.map(({ weight }) => weight / common)
    this.#turnsOfRound = this.#weights.reduce((sum, weight) => sum + weight, 0)
    this.#had = this.#weights.map(() => 0)
    this.#due = new IndexHeap(this.#usable.length)
    this.#waiting = new IndexHeap(this.#usable.length)
    this.#beginRound()
    if (this.#usable.length > 0) for (let skipped = firstIndex % this.#usable.length; skipped > 0; skipped--) this.pick([])
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    const [closed, held] = passedOver
    for (let lapsed = 0; ; lapsed++) {
      while (this.#waiting.topKey <= this.#turn) {
        const index = this.#waiting.pop()
        this.#due.push(index, this.#endOf(index))
      }
      let index = this.#pop(tried, closed)
      if (index === -1) index = this.#pop(tried, held)
      const endpoint = this.#usable[index]
      if (endpoint === undefined) return undefined
      const state = this.#states.of(endpoint)
      const takes = state === 0 || lapsed === lapsedMax || this.#slowTurns.takes(index, state)
      this.#had[index] = (this.#had[index] ?? 0) + 1
      this.#turn += 1
      if (this.#turn === this.#turnsOfRound) this.#beginRound()
      else this.#waiting.push(index, this.#beginningOf(index))
      if (takes) return endpoint
    }
  }

  /** @param closed bits of the states that are passed over */
  #pop(tried: readonly Endpoint[], closed: number): number {
    let index = this.#popOf(this.#due, tried, closed)
    const closedDue = this.#closed.length
    if (index === -1) index = this.#popOf(this.#waiting, tried, closed)
    while (this.#closed.length > 0) {
      const heap = this.#closed.length <= closedDue ? this.#due : this.#waiting
      const passed = this.#closed.pop() ?? 0
      // Where all are down they are asked again with fewer who are passed over: in the same order.
      if (index === -1) heap.push(passed, heap.keyOf(passed))
      else this.#askLater(passed)
    }
    return index
  }

  #popOf(heap: IndexHeap, tried: readonly Endpoint[], closed: number): number {
    let index = heap.pop()
    for (; index !== -1; index = heap.pop()) {
      const endpoint = this.#usable[index]
      if (endpoint === undefined || tried.includes(endpoint)) this.#passed.push(index)
      else if ((this.#states.of(endpoint) & closed) !== 0) this.#closed.push(index)
      else break
    }
    for (let passed = this.#passed.pop(); passed !== undefined; passed = this.#passed.pop()) heap.push(passed, heap.keyOf(passed))
    return index
  }

  #askLater(index: number): void {
    this.#had[index] = Math.max(this.#had[index] ?? 0, Math.floor(this.#turn * (this.#weights[index] ?? 1) / this.#turnsOfRound))
    this.#waiting.push(index, this.#turn + this.#usable.length)
  }

  #beginRound(): void {
    this.#turn = 0
    this.#had.fill(0)
    this.#due.clear()
    this.#waiting.clear()
    for (let index = 0; index < this.#usable.length; index++) this.#waiting.push(index, 0)
  }

  /** Products stay below 2⁵³: a thousand endpoints of the highest weight make 2⁴². */
  #beginningOf(index: number): number {
    return Math.floor((this.#had[index] ?? 0) * this.#turnsOfRound / (this.#weights[index] ?? 1))
  }

  #endOf(index: number): number {
    return Math.ceil(((this.#had[index] ?? 0) + 1) * this.#turnsOfRound / (this.#weights[index] ?? 1))
  }
}

function greatestCommonDivisor(left: number, right: number): number {
  return right === 0 ? left : greatestCommonDivisor(right, left % right)
}
