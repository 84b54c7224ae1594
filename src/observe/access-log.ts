// One line for each connection, at its end. A connection that was never relayed costs its sender next to nothing, so the
// lines of each such reason have a budget; who counts what it suppresses is told. Lines of relayed connections are always
// written.

import type { ConnectionRecord } from '../core/connection-record.ts'
import { terminationOf, type TerminationReason } from '../core/termination.ts'
import { WallClock } from '../core/wall-clock.ts'
import { formatAccessLine } from './access-line.ts'
import { LineBudget } from './line-budget.ts'
import type { Logger } from './log.ts'

/** Lines of connections that were refused or failed, for each reason, over all threads. */
export const accessLogLimits = { linesPerSecond: 100, linesBurst: 200 }

export interface AccessLogOptions {
  readonly logger: Logger
  /** Of `accessLogLimits`: one over the number of threads that write. @default 1 */
  readonly share?: number
  readonly suppressed: (reason: TerminationReason) => void
}

export class AccessLog {
  readonly #logger: Logger
  readonly #suppressed: (reason: TerminationReason) => void
  readonly #budget: LineBudget<TerminationReason>
  readonly #clock = new WallClock(Date.now)

  constructor({ logger, share = 1, suppressed }: AccessLogOptions) {
    this.#logger = logger
    this.#suppressed = suppressed
    this.#budget = new LineBudget({ ...accessLogLimits, share })
  }

  /**
   * Of one that was refused as it was accepted.
   * @param nowMs from a monotonic clock
   */
  writeRefused(reason: TerminationReason, record: () => ConnectionRecord, nowMs: number): void {
    if (!this.#budget.take(reason, nowMs)) this.#suppressed(reason)
    else if (this.#logger.infoEnabled) this.#logger.stream.append(formatAccessLine(record(), this.#clock.epochMs(nowMs)))
  }

  /** @param nowMs from a monotonic clock */
  write(record: ConnectionRecord, nowMs: number): void {
    const { outcome } = terminationOf(record.reason)
    const relayed = outcome === 'completed' || outcome === 'aborted'
    if (!relayed && !this.#budget.take(record.reason, nowMs)) this.#suppressed(record.reason)
    else if (this.#logger.infoEnabled) this.#logger.stream.append(formatAccessLine(record, this.#clock.epochMs(nowMs)))
  }
}
