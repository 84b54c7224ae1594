// Everything that watches the relay: what each thread observes, put together in the main thread.
//
//   main thread:   driver ──▶ ConnectionObserver ─▶ cells ─┐
//   worker thread: driver ──▶ WorkerObserver ─────▶ cells ─┼─▶ metrics, at each scrape; a summary of lines that were not
//                                   └─ lines ─▶ log        │   written, every few seconds
//                                  (one for each worker)  ─┘

import type { ConnectionRecord, RefusedAtAccept } from '../core/connection-record.ts'
import { ListenerTable } from '../core/listener-table.ts'
import type { RelayObserver } from '../core/relay-observer.ts'
import { add, connectionCell, createConnectionCells } from './connection-cells.ts'
import { ConnectionObserver, type ThreadData } from './connection-observer.ts'
import { ConnectionTotals } from './connection-totals.ts'
import type { Logger } from './log.ts'
import { Metrics, type MetricSources } from './metrics.ts'
import type { TunnelFigures } from '../core/tunnel/tunnel-figures.ts'
import { SuppressionSummary } from './suppression-summary.ts'
import { TunnelObserver } from './tunnel-observer.ts'
import type { LinesMessage, WorkerObserverData } from './worker-observer.ts'

/** From a line that was not written to the line that says so, at most. */
const summaryIntervalMs = 10_000

export interface ObservationOptions {
  readonly logger: Logger
  readonly version: string
  readonly sources: MetricSources
  /** Threads that relay in the main one's place. @default 0 */
  readonly workers?: number
}

/** As an observer it is that of a driver in the main thread. */
export class Observation implements RelayObserver {
  readonly metrics: Metrics
  /** The rows of what is counted by listener; other threads may have its buffer. */
  readonly listeners = new ListenerTable()
  /** For the `WorkerObserver` of each worker, and of the one that replaces it. */
  readonly workers: readonly WorkerObserverData[]
  readonly #logger: Logger
  readonly #observer: ConnectionObserver
  readonly #summary: SuppressionSummary
  readonly #summaryTimer: NodeJS.Timeout

  constructor({ logger, version, sources, workers = 0 }: ObservationOptions) {
    const thread = (): ThreadData => ({ cells: createConnectionCells(), listeners: this.listeners.buffer, share: 1 / Math.max(1, workers) })
    const own = thread()
    this.workers = Array.from({ length: workers }, () => ({ ...thread(), level: logger.level }))
    const totals = new ConnectionTotals([own, ...this.workers].map(({ cells }) => cells))
    this.#logger = logger
    this.#observer = new ConnectionObserver(own, logger)
    this.#summary = new SuppressionSummary(totals, logger)
    this.#summaryTimer = setInterval(() => this.#summary.write(), summaryIntervalMs).unref()
    this.metrics = new Metrics({ version, sources, totals, listeners: this.listeners })
  }

  /** Makes a listener's series. To be called before it accepts; its name is the one in the configuration. */
  addListener(name: string): void {
    this.listeners.add(name)
  }

  /** Once, where there is a tunnel. */
  observeTunnel(figures: () => Promise<TunnelFigures>): TunnelObserver {
    return new TunnelObserver({ registry: this.metrics.registry, logger: this.#logger, figures })
  }

  connectionEnded(record: ConnectionRecord): void {
    this.#observer.connectionEnded(record)
  }

  connectionRefused(refusal: RefusedAtAccept, record: () => ConnectionRecord): void {
    this.#observer.connectionRefused(refusal, record)
  }

  driverError(error: Error, context: string): void {
    this.#observer.driverError(error, context)
  }

  /** @param worker the one of `workers` that has posted this */
  takeLines(worker: WorkerObserverData, { bytes, lines }: LinesMessage): void {
    this.#logger.stream.give(bytes, lines)
    add(worker.cells, connectionCell.batchesTaken, 1)
  }

  /** The last summary, at once. What is observed afterwards still counts. */
  close(): void {
    clearInterval(this.#summaryTimer)
    this.#summary.write()
  }
}
