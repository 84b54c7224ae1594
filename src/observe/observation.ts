// Everything that watches the relay, as the one observer that a driver tells.
//
//   driver ── connectionEnded ──▶ metrics, access log ──▶ (lines over their budget) ──▶ a summary every few seconds
//          └─ driverError ──────▶ log

import type { ConnectionRecord } from '../core/connection-record.ts'
import type { RelayObserver } from '../core/relay-observer.ts'
import { AccessLog } from './access-log.ts'
import { LineBudget } from './line-budget.ts'
import type { Logger } from './log.ts'
import { Metrics, type MetricSources } from './metrics.ts'

/** From the first line that was not written to the line that says so. */
const summaryIntervalMs = 10_000
/** Lines of failures that belong to no connection: out of descriptors, each accept fails. */
const failureLimits = { linesPerSecond: 1, linesBurst: 20 }

export interface ObservationOptions {
  readonly logger: Logger
  readonly version: string
  readonly sources: Omit<MetricSources, 'accessLogSuppressed'>
}

export class Observation implements RelayObserver {
  readonly metrics: Metrics
  readonly #accessLog: AccessLog
  readonly #failures = new LineBudget<'failure'>(failureLimits)
  readonly #logger: Logger
  #summaryTimer: NodeJS.Timeout | undefined

  constructor({ logger, version, sources }: ObservationOptions) {
    this.#logger = logger
    this.#accessLog = new AccessLog(logger)
    this.metrics = new Metrics({ version, sources: { ...sources, accessLogSuppressed: () => this.#accessLog.suppressed } })
  }

  connectionEnded(record: ConnectionRecord): void {
    this.metrics.connectionEnded(record)
    if (!this.#accessLog.write(record, performance.now())) this.#summariseSoon()
  }

  driverError(error: Error, context: string): void {
    if (this.#failures.take('failure', performance.now())) this.#logger.error({ err: error }, context)
    else this.#summariseSoon()
  }

  /** The last summary, at once. What is observed afterwards still counts. */
  close(): void {
    clearTimeout(this.#summaryTimer)
    this.#summarise()
  }

  #summariseSoon(): void {
    this.#summaryTimer ??= setTimeout(() => this.#summarise(), summaryIntervalMs).unref()
  }

  #summarise(): void {
    this.#summaryTimer = undefined
    this.#accessLog.summarise()
    const suppressed = this.#failures.takeSuppressed()?.['failure']
    if (suppressed !== undefined) this.#logger.warn({ suppressed, total: this.#failures.suppressed }, 'lines of failures were suppressed')
  }
}
