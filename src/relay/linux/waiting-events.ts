// Events of connections that begin or end: they wait until bytes that are relayed have been seen to. Each descriptor stands here
// once, in the order in which it was told of, with all that was told of it since.
//
// Events are edge-triggered, so none may be lost; and none may reach another descriptor of the same token, so they go with the
// descriptor (`ConnectionTable.setFd`), and its place here is passed over.

import type { ConnectionTable } from './connection-table.ts'

const none = -1

export class WaitingEvents {
  readonly #table: ConnectionTable
  /** By token, the one behind it plus one; `none`: it is the last; 0: it does not stand here. */
  readonly #next: Int32Array
  #first = none
  #last = none

  constructor(table: ConnectionTable) {
    this.#table = table
    this.#next = new Int32Array(2 * table.capacity)
  }

  get isEmpty(): boolean {
    return this.#first === none
  }

  /** @param events of epoll_ctl(2) */
  add(token: number, events: number): void {
    const { events: waiting } = this.#table
    waiting[token] = (waiting[token] ?? 0) | events
    if (this.#next[token] !== 0) return
    this.#next[token] = none
    if (this.#last === none) this.#first = token
    else this.#next[this.#last] = token + 1
    this.#last = token
  }

  /** @returns the next token, whose events are in the table until `takeEvents`; or -1 */
  take(): number {
    while (this.#first !== none) {
      const token = this.#first
      const next = this.#next[token] ?? 0
      this.#next[token] = 0
      this.#first = next === none ? none : next - 1
      if (next === none) this.#last = none
      if (this.#table.events[token] !== 0) return token
    }
    return -1
  }

  takeEvents(token: number): number {
    const events = this.#table.events[token] ?? 0
    this.#table.events[token] = 0
    return events
  }
}
