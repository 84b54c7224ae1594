// Dials that failed, and connections that were not answered, told by all threads that dial to the one that has checks made: a ring for each thread, in shared memory.
//
//   thread 0  [ written │ row × 2 + whether it was a dial that failed, … ]     thread 1  [ written │ … ]
//
// Each ring has one writer, who waits for nobody: what the reader has not taken before the ring came round is lost. What is
// lost of so many is no news.

import type { Endpoint } from './endpoint.ts'

/** Of one ring; it divides `countMask` + 1. */
const entries = 1_024
const ringCells = 1 + entries
const countMask = 0x7fffffff

export type DialFailureCells = Int32Array<SharedArrayBuffer>

export function createDialFailureCells(threads: number): DialFailureCells {
  return new Int32Array(new SharedArrayBuffer(threads * ringCells * Int32Array.BYTES_PER_ELEMENT))
}

/** dial: refused, unreachable or silent · answer: it was accepted, and closed or kept without a byte. */
export type DialFailureKind = 'dial' | 'answer'

/** @param thread whose ring it is: no two threads at one time have the same */
export function addDialFailure(cells: DialFailureCells, thread: number, { row }: Endpoint, kind: DialFailureKind): void {
  if (row === undefined) return
  const at = thread * ringCells
  const written = cells[at] ?? 0
  cells[at + 1 + written % entries] = 2 * row + (kind === 'dial' ? 1 : 0)
  // A reader that sees the count sees the row.
  Atomics.store(cells, at, (written + 1) & countMask)
}

export class DialFailureReader {
  readonly #cells: DialFailureCells
  readonly #read: number[]

  constructor(cells: DialFailureCells) {
    this.#cells = cells
    this.#read = Array.from({ length: cells.length / ringCells }, () => 0)
  }

  /** Rows of what has happened since it was last asked, each once. */
  take(): Readonly<Record<DialFailureKind, ReadonlySet<number>>> {
    const rows = { dial: new Set<number>(), answer: new Set<number>() }
    for (const [thread, read] of this.#read.entries()) {
      const at = thread * ringCells
      const written = Atomics.load(this.#cells, at)
      const count = Math.min(entries, (written - read) & countMask)
      for (let back = 1; back <= count; back++) {
        const entry = this.#cells[at + 1 + ((written - back) & countMask) % entries] ?? 0
        rows[(entry & 1) === 1 ? 'dial' : 'answer'].add(entry >> 1)
      }
      this.#read[thread] = written
    }
    return rows
  }
}
