// Directions that have more to do at once, and wait for the others to have had their turn: each stands here once.

import { tokenBit, type ConnectionTable } from './connection-table.ts'

export class TurnQueue {
  readonly #table: ConnectionTable
  #tokens: number[] = []
  #tokensBefore: number[] = []

  constructor(table: ConnectionTable) {
    this.#table = table
  }

  get isEmpty(): boolean {
    return this.#tokens.length === 0
  }

  add(token: number): void {
    if (this.#table.has(token, tokenBit.queued)) return
    this.#table.set(token, tokenBit.queued)
    this.#tokens.push(token)
  }

  /** Gives a turn to each that stands here now; those that come meanwhile have theirs the next time. */
  run(turn: (token: number) => void): void {
    const tokens = this.#tokens
    if (tokens.length === 0) return
    this.#tokens = this.#tokensBefore
    this.#tokensBefore = tokens
    for (const token of tokens) {
      // The slot may have ended, and begun anew, since.
      if (!this.#table.has(token, tokenBit.queued)) continue
      this.#table.clear(token, tokenBit.queued)
      turn(token)
    }
    tokens.length = 0
  }
}
