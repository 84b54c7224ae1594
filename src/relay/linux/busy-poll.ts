// epoll_wait that polls for a moment before it blocks (`relay.busyPoll`), while core/busy-poll-policy.ts finds that it pays.

import { BusyPollPolicy } from '../../core/busy-poll-policy.ts'
import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import type { Epoll } from './libc.ts'

/** One look takes a microsecond: after so long another program has had the core, and not just an interrupt. */
const awayMsMin = 0.5

export class BusyPoll {
  readonly #epoll: Epoll
  readonly #cells: RelayCells
  readonly #pollMs: number
  readonly #policy = new BusyPollPolicy()

  constructor(epoll: Epoll, cells: RelayCells, pollMs: number) {
    this.#epoll = epoll
    this.#cells = cells
    this.#pollMs = pollMs
  }

  /** As `Epoll.wait`. */
  wait(timeoutMs: number): number {
    if (timeoutMs !== 0) {
      const beganMs = performance.now()
      const count = this.#policy.mayPoll(beganMs) ? this.#poll(beganMs) : 0
      if (count > 0) return count
    }
    return this.#epoll.wait(timeoutMs)
  }

  #poll(beganMs: number): number {
    for (let beforeMs = beganMs; ;) {
      const count = this.#epoll.wait(0)
      const nowMs = performance.now()
      if (nowMs - beforeMs >= awayMsMin) {
        this.#policy.shared(nowMs)
        this.#count(relayCell.busyPollsShared)
        return count
      }
      if (count > 0) {
        this.#policy.hit()
        this.#count(relayCell.busyPollHits)
        return count
      }
      if (nowMs - beganMs >= this.#pollMs) {
        this.#policy.missed()
        this.#count(relayCell.busyPollMisses)
        return 0
      }
      beforeMs = nowMs
    }
  }

  #count(cell: number): void {
    this.#cells[cell] = (this.#cells[cell] ?? 0) + 1
  }
}
