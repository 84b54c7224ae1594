// Everything that watches the relay, as the one observer that a driver tells.

import type { ConnectionRecord } from '../core/connection-record.ts'
import type { RelayObserver } from '../core/relay-observer.ts'
import { AccessLog } from './access-log.ts'
import type { Logger } from './log.ts'
import { Metrics, type MetricSources } from './metrics.ts'

export interface ObservationOptions {
  readonly logger: Logger
  readonly version: string
  readonly sources: Omit<MetricSources, 'accessLogSuppressed'>
}

export class Observation implements RelayObserver {
  readonly metrics: Metrics
  readonly #accessLog: AccessLog
  readonly #logger: Logger

  constructor({ logger, version, sources }: ObservationOptions) {
    this.#logger = logger
    this.#accessLog = new AccessLog(logger, performance.now())
    this.metrics = new Metrics({ version, sources: { ...sources, accessLogSuppressed: () => this.#accessLog.suppressed } })
  }

  connectionEnded(record: ConnectionRecord): void {
    this.metrics.connectionEnded(record)
    this.#accessLog.write(record, performance.now())
  }

  driverError(error: Error, context: string): void {
    this.#logger.error({ err: error }, context)
  }
}
