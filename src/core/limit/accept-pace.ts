// How fast a thread takes connections from the queues of its listeners. Each stands in the way of every byte that the thread relays:
// its accept, its hello, its dial. While few come they are taken at once. When two turns in a row have taken all they may, it is a
// storm: then a few are taken each millisecond, and what is relayed has the rest of the time.
//
//   calm ─two full turns─▶ storm: slice │ 1 ms │ slice │ 1 ms … ─queue empty─▶ calm
//
// Those that wait are in the kernel's queue, which is bounded, and nobody there is refused. The pace is counted in connections and
// not in the time they take: a thread that the system lets run now and then would else think that each took long.

/** Taken in one turn of one listener while it is calm. */
export const acceptsPerTurnMax = 16
/** Half a core of a machine of 2025, with what they need afterwards. */
const acceptsPerMs = 4
/** A thread that waits for the next slice waits for as many, and not for one after the other. */
const acceptsPerSlice = 4
/** In a slice after a turn that was long, or in which the system ran somebody else: a quarter of that time. */
const acceptsPerSliceMax = 64
/** Of one that its limit refuses at once: nothing is set up for it. */
export const refusedCost = 1 / 4

/** In a storm; 4,000 connections a second, or four times as many that are refused. */
export class AcceptPace {
  #left = 0
  #filledMs: number

  /** @param nowMs it begins with nothing left */
  constructor(nowMs: number) {
    this.#filledMs = nowMs
  }

  /** When there is enough for a slice. */
  get sliceAtMs(): number {
    return this.#filledMs + (acceptsPerSlice - this.#left) / acceptsPerMs
  }

  /** @returns what may be taken now, in connections; less than one: none */
  budget(nowMs: number): number {
    this.#left = Math.min(acceptsPerSliceMax, this.#left + Math.max(0, nowMs - this.#filledMs) * acceptsPerMs)
    this.#filledMs = nowMs
    return this.#left
  }

  /** Nothing is taken for now, although something may be: a slice later. */
  rest(): void {
    this.#left = 0
  }

  spend(cost: number): void {
    this.#left -= cost
  }
}
