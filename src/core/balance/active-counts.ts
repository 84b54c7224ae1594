// Connections that each endpoint has now, over all threads that open any: what lc, wlc and mh balance by. A thread adds to
// cells of its own in memory that all threads read.
//
//   row 7 (endpoint-rows.ts)  [ worker 0 │ worker 1 │ tunnel thread 0 ]  side by side: a sum reads one line of the cache
//
// Each cell has one writer, so it needs no atomics; and what a thread that died has counted is cleared by clearing its cells. Failures in
// a row are all threads' own: those are few.

import { addDialNews, createDialNewsCells, type DialNewsCells } from './dial-news.ts'
import { failedBit } from './endpoint-states.ts'
import type { Endpoint } from './endpoint.ts'

/** They are counted so far: no configuration asks for more. */
export const failuresInARowMax = 1_000
/** Rows of a process: 4 MiB of address space for each thread, of which only what is used takes memory. */
export const endpointRowsMax = 1_000_000

export interface ActiveCounts {
  /** 0 for an endpoint without a row. */
  of(endpoint: Endpoint): number
  /** A connection goes to the endpoint: from the moment it was picked. */
  /** @returns what `failed` is to be told: how many dials had succeeded there by then */
  began(endpoint: Endpoint): number
  /** It has ended, or goes to another. */
  ended(endpoint: Endpoint): void
  /** A dial has failed: for who checks endpoints. @param begun what `began` has returned */
  failed(endpoint: Endpoint, begun: number): void
  /** A connection was accepted, and has ended or was given up without a byte from there: for who checks endpoints. */
  unanswered(endpoint: Endpoint): void
  /** A dial has succeeded. */
  connected(endpoint: Endpoint): void
}

/** Cloning it, as for `workerData`, shares its memory. */
export interface ActiveCells {
  readonly threads: number
  readonly cells: Int32Array<SharedArrayBuffer>
  /** One cell, the main thread's: rows that have ever been given out are 0 to this, this one not included. */
  readonly rowsUsed: Int32Array<SharedArrayBuffer>
  /** By the same rows, as in endpoint-states.ts. */
  readonly states: Int32Array<SharedArrayBuffer>
  readonly dialNews: DialNewsCells
  /** By the same rows: dials of all threads that failed and had begun since one succeeded (ejections.ts). */
  readonly failuresInARow: Int32Array<SharedArrayBuffer>
  /** By the same rows: dials that succeeded. Two threads that add at once may add one: it is asked only whether there was any. */
  readonly successes: Int32Array<SharedArrayBuffer>
}

export function createActiveCells(threads: number): ActiveCells {
  const cellsOf = (count: number): Int32Array<SharedArrayBuffer> => new Int32Array(new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT))
  return { threads, cells: cellsOf(endpointRowsMax * threads), rowsUsed: cellsOf(1), states: cellsOf(endpointRowsMax), dialNews: createDialNewsCells(threads), failuresInARow: cellsOf(endpointRowsMax), successes: cellsOf(endpointRowsMax) }
}

/** Before another thread goes on with the cells of one that has died: its connections are gone. */
export function clearActiveOf({ cells, threads, rowsUsed }: ActiveCells, thread: number): void {
  for (let row = 0; row < (rowsUsed[0] ?? 0); row++) cells[row * threads + thread] = 0
}

/** Over all threads. */
export function activeInRow({ cells, threads }: ActiveCells, row: number): number {
  let active = 0
  for (let cell = row * threads; cell < (row + 1) * threads; cell++) active += cells[cell] ?? 0
  return active
}

/** As one thread has them. */
export class SharedActiveCounts implements ActiveCounts {
  readonly #all: ActiveCells
  readonly #thread: number

  /** @param thread whose cells it writes: no two threads at one time have the same */
  constructor(all: ActiveCells, thread: number) {
    this.#all = all
    this.#thread = thread
  }

  of({ row }: Endpoint): number {
    return row === undefined ? 0 : activeInRow(this.#all, row)
  }

  began({ row }: Endpoint): number {
    this.#add(row, 1)
    return row === undefined ? 0 : this.#all.successes[row] ?? 0
  }

  ended({ row }: Endpoint): void {
    this.#add(row, -1)
  }

  failed(endpoint: Endpoint, begun: number): void {
    const { row } = endpoint
    const { failuresInARow, successes } = this.#all
    // Before it is told: who hears of it finds it counted. Dials of one moment run out of time in one moment: where others have
    // succeeded meanwhile, the endpoint was only slow for so many.
    if (row !== undefined && successes[row] === begun && (failuresInARow[row] ?? 0) < failuresInARowMax) Atomics.add(failuresInARow, row, 1)
    addDialNews(this.#all.dialNews, this.#thread, endpoint, 'dial')
  }

  unanswered(endpoint: Endpoint): void {
    addDialNews(this.#all.dialNews, this.#thread, endpoint, 'answer')
  }

  connected(endpoint: Endpoint): void {
    const { row } = endpoint
    if (row === undefined) return
    const { failuresInARow, successes, states, dialNews } = this.#all
    successes[row] = (successes[row] ?? 0) + 1
    if (failuresInARow[row] !== 0) Atomics.store(failuresInARow, row, 0)
    if (((states[row] ?? 0) & failedBit) !== 0) addDialNews(dialNews, this.#thread, endpoint, 'connected')
  }

  #add(row: number | undefined, difference: number): void {
    if (row === undefined) return
    const { cells, threads } = this.#all
    const cell = row * threads + this.#thread
    cells[cell] = (cells[cell] ?? 0) + difference
  }
}

/** Where nobody counts: every endpoint is as empty as the others. */
export const noActiveCounts: ActiveCounts = { of: () => 0, began: () => 0, ended: () => undefined, failed: () => undefined, unanswered: () => undefined, connected: () => undefined }
