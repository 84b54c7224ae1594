// Drains that the admin API has begun: the connections that a tenant or an endpoint has then are closed one after the other, evenly over a window. New
// ones come as they always do; what an endpoint's state says of them is not decided here.
//
//   start ─▶ the live ones are looked for ─▶ each tick: those that are due are closed ─▶ none is left
//                                                └── cancel: the rest stays ──▶

import type { ConnectionKind, ConnectionQuery, ConnectionRef, LiveThread } from '../core/live/live-connection.ts'
import { slotsPerScan } from '../core/live/live-connection.ts'
import { dueCount } from '../core/live/spread.ts'
import { refsOf, type LiveConnections } from './live-connections.ts'

/** That run at one time: each has a list of connections. */
const drainsMax = 100
const tickMs = 100
/** What is at an endpoint; an API server's own connections to nodes come back to where they were. */
const drained: readonly ConnectionKind[] = ['connection', 'stream']

export interface DrainStatus {
  /** `tenant acme`, `endpoint 10.1.0.11:31443` */
  readonly what: string
  readonly startedAt: string
  readonly overSeconds: number
  /** When it began. */
  readonly connections: number
  /** Whose turn has not come; some of them may have ended by themselves. */
  readonly left: number
}

interface Drain {
  readonly what: string
  readonly overMs: number
  readonly startedAtMs: number
  readonly refs: { readonly thread: LiveThread; readonly ref: ConnectionRef }[]
  /** Of `refs`, those whose turn has come. */
  taken: number
  closed: number
  isOver: boolean
  timer: NodeJS.Timeout | undefined
}

export interface DrainsOptions {
  readonly live: LiveConnections
  /** @param closed of the connections, those that had not ended by themselves */
  readonly ended: (drain: { readonly what: string; readonly connections: number; readonly closed: number; readonly how: 'done' | 'cancelled' | 'replaced' }) => void
  readonly failed: (error: Error, context: string) => void
}

export class Drains {
  readonly #options: DrainsOptions
  readonly #drains = new Map<string, Drain>()

  constructor(options: DrainsOptions) {
    this.#options = options
  }

  get all(): readonly DrainStatus[] {
    return [...this.#drains.values()].map(statusOf)
  }

  of(what: string): DrainStatus | undefined {
    const drain = this.#drains.get(what)
    return drain === undefined ? undefined : statusOf(drain)
  }

  get figures(): { readonly running: number; readonly connectionsLeft: number } {
    const drains = [...this.#drains.values()]
    return { running: drains.length, connectionsLeft: drains.reduce((sum, { refs, taken }) => sum + refs.length - taken, 0) }
  }

  /**
   * In place of the one of the same, if that runs still. Resolves when it is known which connections it closes.
   * @returns undefined: too many run
   */
  async start(what: string, query: ConnectionQuery, overMs: number): Promise<DrainStatus | undefined> {
    this.#end(what, 'replaced')
    if (this.#drains.size >= drainsMax) return undefined
    const drain: Drain = { what, overMs, startedAtMs: Date.now(), refs: [], taken: 0, closed: 0, isOver: false, timer: undefined }
    this.#drains.set(what, drain)
    try {
      for await (const { thread, connections } of this.#options.live.found({ ...query, kinds: drained })) {
        if (drain.isOver) return statusOf(drain)
        drain.refs.push(...refsOf(connections).map((ref) => ({ thread, ref })))
      }
    } catch (error) {
      if (!drain.isOver) this.#drains.delete(what)
      throw error
    }
    const status = statusOf(drain)
    void this.#tick(drain, performance.now())
    return status
  }

  /** @returns what was left; undefined: none runs */
  cancel(what: string): DrainStatus | undefined {
    const status = this.of(what)
    this.#end(what, 'cancelled')
    return status
  }

  stop(): void {
    for (const what of Array.from(this.#drains.keys())) this.#end(what, 'cancelled')
  }

  #end(what: string, how: 'done' | 'cancelled' | 'replaced'): void {
    const drain = this.#drains.get(what)
    if (drain === undefined) return
    this.#drains.delete(what)
    drain.isOver = true
    clearTimeout(drain.timer)
    this.#options.ended({ what, connections: drain.refs.length, closed: drain.closed, how })
  }

  async #tick(drain: Drain, startMs: number): Promise<void> {
    try {
      const due = dueCount(drain.refs.length, { elapsedMs: performance.now() - startMs, overMs: drain.overMs })
      while (drain.taken < due && !drain.isOver) {
        const some = drain.refs.slice(drain.taken, Math.min(due, drain.taken + slotsPerScan))
        drain.taken += some.length
        for (const [thread, refs] of Map.groupBy(some, ({ thread }) => thread)) drain.closed += await thread.close(refs.map(({ ref }) => ref))
      }
    } catch (error) {
      this.#options.failed(error instanceof Error ? error : new Error(String(error)), `drain of ${drain.what}`)
    }
    if (drain.isOver) return
    if (drain.taken === drain.refs.length) this.#end(drain.what, 'done')
    else drain.timer = setTimeout(() => void this.#tick(drain, startMs), tickMs)
  }
}

function statusOf({ what, startedAtMs, overMs, refs, taken }: Drain): DrainStatus {
  return { what, startedAt: new Date(startedAtMs).toISOString(), overSeconds: overMs / 1_000, connections: refs.length, left: refs.length - taken }
}
