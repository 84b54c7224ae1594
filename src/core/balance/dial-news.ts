// Dials that failed, connections that were not answered, and dials that reached an endpoint which is down, told by all threads that dial to the one that has checks
// made: a ring for each thread, in shared memory.
//
//   thread 0  [ written │ row × 4 + the kind's index, … ]     thread 1  [ written │ … ]
//
// Each ring has one writer, who waits for nobody: what the reader has not taken before the ring came round is lost. What is
// lost of so many is no news.

import type { Endpoint } from './endpoint.ts'

/** Of one ring; it divides `countMask` + 1. */
const entries = 1_024
const ringCells = 1 + entries
const countMask = 0x7fffffff

export type DialNewsCells = Int32Array<SharedArrayBuffer>

export function createDialNewsCells(threads: number): DialNewsCells {
  return new Int32Array(new SharedArrayBuffer(threads * ringCells * Int32Array.BYTES_PER_ELEMENT))
}

/** dial: refused, unreachable or silent · answer: it was accepted, and closed or kept without a byte · connected: it was accepted by one that is not picked while others are. */
export const dialNewsKinds = ['dial', 'answer', 'connected'] as const
export type DialNewsKind = (typeof dialNewsKinds)[number]
export type DialFailureKind = Exclude<DialNewsKind, 'connected'>
/** In an entry; rows go up to 2²⁹. */
const kindsMax = 4

/** @param thread whose ring it is: no two threads at one time have the same */
export function addDialNews(cells: DialNewsCells, thread: number, { row }: Endpoint, kind: DialNewsKind): void {
  if (row === undefined) return
  const at = thread * ringCells
  const written = cells[at] ?? 0
  cells[at + 1 + written % entries] = kindsMax * row + dialNewsKinds.indexOf(kind)
  // A reader that sees the count sees the row.
  Atomics.store(cells, at, (written + 1) & countMask)
}

export class DialNewsReader {
  readonly #cells: DialNewsCells
  readonly #read: number[]

  constructor(cells: DialNewsCells) {
    this.#cells = cells
    this.#read = Array.from({ length: cells.length / ringCells }, () => 0)
  }

  /** Rows of what has happened since it was last asked, each once. */
  take(): Readonly<Record<DialNewsKind, ReadonlySet<number>>> {
    const rows = { dial: new Set<number>(), answer: new Set<number>(), connected: new Set<number>() }
    for (const [thread, read] of this.#read.entries()) {
      const at = thread * ringCells
      const written = Atomics.load(this.#cells, at)
      const count = Math.min(entries, (written - read) & countMask)
      for (let back = 1; back <= count; back++) {
        const entry = this.#cells[at + 1 + ((written - back) & countMask) % entries] ?? 0
        rows[dialNewsKinds[entry % kindsMax] ?? 'dial'].add(Math.floor(entry / kindsMax))
      }
      this.#read[thread] = written
    }
    return rows
  }
}
