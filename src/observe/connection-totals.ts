// The cells of all threads as one: what a scrape and the log's summaries read.

import type { TerminationReason } from '../core/termination.ts'
import type { HistogramTotals } from './collected-histogram.ts'
import { connectionCell, reasons, type ConnectionCells, type HistogramLayout } from './connection-cells.ts'

export class ConnectionTotals {
  readonly #threads: readonly ConnectionCells[]

  constructor(threads: readonly ConnectionCells[]) {
    this.#threads = threads
  }

  sum(cell: number): number {
    return this.#threads.reduce((total, cells) => total + (cells[cell] ?? 0), 0)
  }

  histogram({ upperBounds, firstBucket, sum }: HistogramLayout): HistogramTotals {
    let count = 0
    const buckets = Array.from({ length: upperBounds.length + 1 }, (_, bucket) => {
      count += this.sum(firstBucket + bucket)
      return count
    })
    return { buckets, sum: this.sum(sum) }
  }

  /** Access-log lines over their budget, by reason; none where it is 0. */
  linesSuppressed(): ReadonlyMap<TerminationReason, number> {
    const counts = reasons.map((reason, index) => [reason, this.sum(connectionCell.linesSuppressed + index)] as const)
    return new Map(counts.filter(([, count]) => count > 0))
  }
}
