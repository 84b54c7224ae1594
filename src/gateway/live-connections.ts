// The connections that live now, over all threads: a page of them, or all that a query finds, a step of a thread at a time.
//
//   page ─▶ worker 0: slots 0–999, 1,000–1,999, … ─▶ worker 1 … ─▶ tunnel thread 0 …      `continue`: the thread, and its next slot

import type { ConnectionQuery, LiveConnection, LiveThread } from '../core/live/live-connection.ts'
import { slotsPerScan } from '../core/live/live-connection.ts'

/** After so long a page is given as it is, and says where to go on: few may be found among many. */
const pageMsMax = 2_000

/** Where a page goes on: `THREAD.SLOT`. */
const positionPattern = /^(\d{1,4})\.(\d{1,9})$/

export interface LivePage {
  readonly connections: readonly LiveConnection[]
  /** Absent: there are no more. */
  readonly next?: string
}

interface FoundConnections {
  readonly thread: LiveThread
  readonly connections: readonly LiveConnection[]
}

export class LiveConnections {
  readonly #threads: () => readonly LiveThread[]

  /** @param threads always in the same order */
  constructor(threads: () => readonly LiveThread[]) {
    this.#threads = threads
  }

  /**
   * @param from `next` of the page before
   * @returns undefined: `from` is no position
   */
  async page({ query, limit, from = '0.0' }: { readonly query: ConnectionQuery; readonly limit: number; readonly from?: string | undefined }): Promise<LivePage | undefined> {
    const position = positionPattern.exec(from)
    const threads = this.#threads()
    if (position === null) return undefined
    let [thread, slot] = [Number(position[1]), Number(position[2])]
    const connections: LiveConnection[] = []
    const untilMs = performance.now() + pageMsMax
    while (thread < threads.length && connections.length < limit && performance.now() < untilMs) {
      const scan = await threads[thread]?.scan({ query, from: slot, max: limit - connections.length })
      connections.push(...scan?.connections ?? [])
      ;[thread, slot] = scan?.next === undefined ? [thread + 1, 0] : [thread, scan.next]
    }
    return thread < threads.length ? { connections, next: `${thread}.${slot}` } : { connections }
  }

  /** All that live through it, and some of those that come or go meanwhile. */
  async* found(query: ConnectionQuery): AsyncGenerator<FoundConnections, void, void> {
    for (const thread of this.#threads()) {
      for (let from: number | undefined = 0; from !== undefined;) {
        const { connections, next }: Awaited<ReturnType<LiveThread['scan']>> = await thread.scan({ query, from, max: slotsPerScan })
        if (connections.length > 0) yield { thread, connections }
        from = next
      }
    }
  }

  /** @returns how many were closed */
  async close(query: ConnectionQuery): Promise<number> {
    let closed = 0
    for await (const { thread, connections } of this.found(query)) closed += await thread.close(refsOf(connections))
    return closed
  }
}

export function refsOf(connections: readonly LiveConnection[]): readonly { readonly id: string; readonly slot: number }[] {
  return connections.map(({ id, slot }) => ({ id, slot }))
}
