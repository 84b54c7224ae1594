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
// A further attempt takes a turn like any other, as with `rr`; what it brings into disorder ends with the round.

import type { Endpoint } from './endpoint.ts'
import { IndexHeap } from './index-heap.ts'
import { usableOf, type Scheduler } from './scheduler.ts'

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

  /** @param firstIndex as many turns are taken to have been had: a whole number, 0 or more, counted round */
  constructor(endpoints: readonly Endpoint[], firstIndex = 0) {
    this.endpoints = endpoints
    this.#usable = usableOf(endpoints)
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
    while (this.#waiting.topKey <= this.#turn) {
      const index = this.#waiting.pop()
      this.#due.push(index, this.#endOf(index))
    }
    let index = this.#popUntried(this.#due, tried)
    if (index === -1) index = this.#popUntried(this.#waiting, tried)
    if (index === -1) return undefined
    this.#had[index] = (this.#had[index] ?? 0) + 1
    this.#turn += 1
    if (this.#turn === this.#turnsOfRound) this.#beginRound()
    else this.#waiting.push(index, this.#beginningOf(index))
    return this.#usable[index]
  }

  #popUntried(heap: IndexHeap, tried: readonly Endpoint[]): number {
    let index = heap.pop()
    if (tried.length === 0) return index
    for (; index !== -1; index = heap.pop()) {
      const endpoint = this.#usable[index]
      if (endpoint !== undefined && !tried.includes(endpoint)) break
      this.#passed.push(index)
    }
    for (let passed = this.#passed.pop(); passed !== undefined; passed = this.#passed.pop()) heap.push(passed, heap.keyOf(passed))
    return index
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
