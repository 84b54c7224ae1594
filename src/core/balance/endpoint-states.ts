// What each endpoint may be given just now, as schedulers ask for each pick: a number a row (endpoint-rows.ts) in memory that all
// threads read. The main thread alone writes it (endpoint-register.ts), so it needs no atomics, and nothing is rebuilt or sent.
//
//   bit 10  held     by the operator, draining or down: no new connection, whatever happens
//   bit  9  failed   by its checks: none while another is ready; where none is, it is tried (panic)
//   bits 0-8         of 256 parts of its weight, those that are withheld while it starts slowly
//
// 0 is an endpoint that is ready, with all of its weight: what memory is at first, and most of it always.

import type { ActiveCells } from './active-counts.ts'
import type { Endpoint } from './endpoint.ts'

export const heldBit = 1 << 10
export const failedBit = 1 << 9
/** Parts of a weight that a share is counted in. */
export const shareParts = 256
const withheldBits = failedBit - 1

/**
 * Who is passed over, in the order in which a pick asks: first those that failed or are held, then, where nobody is left, only
 * those that are held.
 */
export const passedOver = [failedBit | heldBit, heldBit] as const

export interface EndpointStates {
  /** Its number; 0 for an endpoint without a row. */
  of(endpoint: Endpoint): number
}

/** Of `of`'s number: how much of its weight an endpoint has, more than 0 and up to 1. */
export function shareOf(state: number): number {
  return (shareParts - (state & withheldBits)) / shareParts
}

/** @param parts of its weight that it has: 1 to `shareParts` */
export function startingSlowly(parts: number): number {
  return shareParts - parts
}

/** As any thread reads them. */
export class SharedEndpointStates implements EndpointStates {
  readonly #states: Int32Array

  constructor({ states }: Pick<ActiveCells, 'states'>) {
    this.#states = states
  }

  of({ row }: Endpoint): number {
    return row === undefined ? 0 : this.#states[row] ?? 0
  }
}

/** Where nobody looks after them: every endpoint is ready. */
export const allReady: EndpointStates = { of: () => 0 }

/**
 * Which of its turns an endpoint takes that starts slowly: as many as is its share, evenly. For schedulers that go by turns.
 * The first one it takes, so that an endpoint which nobody asks for much is not kept waiting.
 */
export class SlowTurns {
  /** By index: parts that it has saved up. */
  readonly #saved: Int32Array

  constructor(endpoints: number) {
    this.#saved = new Int32Array(endpoints).fill(shareParts)
  }

  /** Asked once a turn. */
  takes(index: number, state: number): boolean {
    const saved = (this.#saved[index] ?? 0) + shareParts - (state & withheldBits)
    const takes = saved >= shareParts
    this.#saved[index] = takes ? saved - shareParts : saved
    return takes
  }
}
