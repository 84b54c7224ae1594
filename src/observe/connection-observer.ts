// What one thread tells of its connections: cells that are counted up, and lines.
//
//   driver ── connectionEnded ──▶ cells, access log ──▶ (lines over their budget are counted too)
//          └─ driverError ──────▶ log
//
// It is made of data that can be cloned, so each thread makes its own; observation.ts puts them together.

import { performance } from 'node:perf_hooks'
import type { ConnectionRecord, RefusedAtAccept } from '../core/connection-record.ts'
import { ListenerTable } from '../core/listener-table.ts'
import type { RelayObserver, SourceDropped } from '../core/relay-observer.ts'
import { AccessLog } from './access-log.ts'
import { add, connectionCell, countConnection, countRefused, countSuppressedLine, type ConnectionCells } from './connection-cells.ts'
import { LineBudget } from './line-budget.ts'
import type { Logger } from './log.ts'

/** Lines of failures that belong to no connection, over all threads: out of descriptors, each accept fails. */
const failureLimits = { linesPerSecond: 1, linesBurst: 20 }

/** Lines of sources that are dropped, over all threads: each once in some seconds, but there may be many. */
const dropLimits = { linesPerSecond: 5, linesBurst: 50 }

export interface ThreadData {
  /** This thread's own. */
  readonly cells: ConnectionCells
  /** `ListenerTable.buffer` */
  readonly listeners: SharedArrayBuffer
  /** Of the budgets for lines: one over the number of threads. */
  readonly share: number
}

export class ConnectionObserver implements RelayObserver {
  readonly #cells: ConnectionCells
  readonly #listeners: ListenerTable
  readonly #logger: Logger
  readonly #accessLog: AccessLog
  readonly #failures: LineBudget<'failure'>
  readonly #drops: LineBudget<'drop'>

  constructor({ cells, listeners, share }: ThreadData, logger: Logger) {
    this.#cells = cells
    this.#listeners = new ListenerTable(listeners)
    this.#logger = logger
    this.#accessLog = new AccessLog({ logger, share, suppressed: (reason) => countSuppressedLine(cells, reason) })
    this.#failures = new LineBudget({ ...failureLimits, share })
    this.#drops = new LineBudget({ ...dropLimits, share })
  }

  connectionEnded(record: ConnectionRecord): void {
    countConnection(this.#cells, this.#listeners, record)
    this.#accessLog.write(record, performance.now())
  }

  connectionRefused(refusal: RefusedAtAccept, record: () => ConnectionRecord): void {
    countRefused(this.#cells, this.#listeners, refusal)
    this.#accessLog.writeRefused(refusal.reason, record, performance.now())
  }

  sourceDropped({ listener, address, refusals, periodMs }: SourceDropped): void {
    if (!this.#drops.take('drop', performance.now())) add(this.#cells, connectionCell.dropsSuppressed, 1)
    else this.#logger.warn({ listener, source: address, refusals, forMs: Math.round(periodMs) }, 'a source goes on over connectionsPerSourcePerSecond: for a while it gets no answer')
  }

  driverError(error: Error, context: string): void {
    if (this.#failures.take('failure', performance.now())) this.#logger.error({ err: error }, context)
    else add(this.#cells, connectionCell.failuresSuppressed, 1)
  }
}
