// What a load counts while it runs: cheap, and the same for all kinds.

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import type { LoadTally } from './load.ts'

const latencyNsMax = 120e9

/** HDR histogram, 3 significant figures. */
export function createLatencyHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: latencyNsMax, figures: 3 })
}

export class Tally {
  operations = 0
  opened = 0
  sentBytes = 0
  receivedBytes = 0
  readonly #latency = createLatencyHistogram()
  readonly #sendDelay = createLatencyHistogram()
  #failures = 0
  #firstFailure: string | undefined
  #openedAtMs = Number.POSITIVE_INFINITY
  #closedAtMs = Number.POSITIVE_INFINITY
  #cpuAtOpen = process.threadCpuUsage()
  #cpuMs = 0
  #operationsAtOpen = 0
  #operationsInWindow = 0

  openWindow(): void {
    this.#operationsAtOpen = this.operations
    this.#cpuAtOpen = process.threadCpuUsage()
    this.#openedAtMs = performance.now()
  }

  closeWindow(): void {
    this.#closedAtMs = performance.now()
    const { user, system } = process.threadCpuUsage(this.#cpuAtOpen)
    this.#cpuMs = (user + system) / 1000
    this.#operationsInWindow = this.operations - this.#operationsAtOpen
  }

  /** @param atMs of performance.now() */
  inWindow(atMs: number): boolean {
    return atMs >= this.#openedAtMs && atMs < this.#closedAtMs
  }

  /** An operation that took so long. Counted in any case, timed if it began in the window. */
  timed(fromMs: number, toMs: number): void {
    this.operations += 1
    if (this.inWindow(fromMs)) this.#latency.record(nanoseconds(toMs - fromMs))
  }

  delayed(fromMs: number, toMs: number): void {
    if (this.inWindow(fromMs)) this.#sendDelay.record(nanoseconds(toMs - fromMs))
  }

  failed(reason: string): void {
    this.#failures += 1
    this.#firstFailure ??= reason
  }

  result(): LoadTally {
    return {
      operations: this.#operationsInWindow,
      windowMs: this.#closedAtMs - this.#openedAtMs,
      cpuMs: this.#cpuMs,
      latency: this.#latency,
      sendDelay: this.#sendDelay,
      opened: this.opened,
      sentBytes: this.sentBytes,
      receivedBytes: this.receivedBytes,
      failures: this.#failures,
      ...(this.#firstFailure === undefined ? {} : { firstFailure: this.#firstFailure }),
    }
  }
}

function nanoseconds(durationMs: number): number {
  return Math.max(1, Math.round(durationMs * 1e6))
}
