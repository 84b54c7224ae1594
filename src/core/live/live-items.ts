// What lives in one thread, in slots: the portable driver's connections; of the tunnel, streams of sessions and API servers' connections to
// its egress.

import { ConnectionMatcher, scanSlots, type Candidate, type ConnectionRef, type LiveConnection, type Scan, type ScanRequest } from './live-connection.ts'
import { Slots } from './slots.ts'

export interface LiveItem {
  readonly id: string
  readonly candidate: Candidate
  live(slot: number): LiveConnection
  /** @returns whether it was open */
  close(): boolean
}

export class LiveItems {
  readonly #slots = new Slots<LiveItem>()

  /** @returns its slot */
  add(item: LiveItem): number {
    return this.#slots.add(item)
  }

  remove(slot: number): void {
    this.#slots.remove(slot)
  }

  scan(request: ScanRequest): Scan {
    const matcher = new ConnectionMatcher(request.query)
    return scanSlots(request, this.#slots.used, (slot) => {
      const item = this.#slots.at(slot)
      return item !== undefined && matcher.matches(item.candidate) ? item.live(slot) : undefined
    })
  }

  /** @returns how many of them there were still */
  close(refs: readonly ConnectionRef[]): number {
    return refs.filter(({ slot, id }) => {
      const item = this.#slots.at(slot)
      return item?.id === id && item.close()
    }).length
  }
}
