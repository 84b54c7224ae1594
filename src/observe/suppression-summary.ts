// Lines that were not written, told every few seconds: how many more there are of each kind, over all threads.

import { connectionCell } from './connection-cells.ts'
import type { ConnectionTotals } from './connection-totals.ts'
import type { Logger } from './log.ts'

export class SuppressionSummary {
  readonly #totals: ConnectionTotals
  readonly #logger: Logger
  /** Counts that the log has told of, by kind. */
  readonly #told = new Map<string, number>()

  constructor(totals: ConnectionTotals, logger: Logger) {
    this.#totals = totals
    this.#logger = logger
  }

  write(): void {
    const suppressed: Record<string, number> = {}
    let total = 0
    for (const [reason, count] of this.#totals.linesSuppressed()) {
      total += count
      const more = this.#untold(reason, count)
      if (more > 0) suppressed[reason] = more
    }
    if (Object.keys(suppressed).length > 0) {
      this.#logger.warn({ suppressed, total }, 'access-log lines of connections that were not relayed were suppressed')
    }
    const failures = this.#totals.sum(connectionCell.failuresSuppressed)
    const moreFailures = this.#untold('failures', failures)
    if (moreFailures > 0) this.#logger.warn({ suppressed: moreFailures, total: failures }, 'lines of failures were suppressed')
    const drops = this.#totals.sum(connectionCell.dropsSuppressed)
    const moreDrops = this.#untold('drops', drops)
    if (moreDrops > 0) this.#logger.warn({ suppressed: moreDrops, total: drops }, 'lines of sources over their rate were suppressed')
    const dropped = this.#totals.sum(connectionCell.linesDropped)
    const moreDropped = this.#untold('dropped', dropped)
    if (moreDropped > 0) this.#logger.warn({ dropped: moreDropped, total: dropped }, 'log lines of worker threads were dropped: they were not taken in time')
  }

  #untold(kind: string, count: number): number {
    const more = count - (this.#told.get(kind) ?? 0)
    this.#told.set(kind, count)
    return more
  }
}
