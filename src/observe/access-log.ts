// One line for each connection, at its end. A connection that was never relayed costs its sender next to nothing, so the
// lines of each such reason have a budget; what it suppresses is counted and told of. Lines of relayed connections are
// always written.

import type { ConnectionRecord } from '../core/connection-record.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import { terminationOf, type TerminationReason } from '../core/termination.ts'
import { LineBudget } from './line-budget.ts'
import type { Logger } from './log.ts'

/** Lines of connections that were refused or failed, for each reason. */
export const accessLogLimits = { linesPerSecond: 100, linesBurst: 200 }
/** Characters of a peer's text that are shown. A hostname has at most 253. */
export const textLengthMax = 300

/** What a line tells. Absent fields were never reached. */
export function accessLogFields(record: ConnectionRecord): Readonly<Record<string, unknown>> {
  const { serverName, detail, tenant, endpoint, helloMs, connectMs } = record
  return {
    id: record.id,
    listener: record.listener,
    client: formatSocketAddress(record.client),
    ...(record.client === record.downstream ? {} : { downstream: formatSocketAddress(record.downstream) }),
    ...(serverName === undefined ? {} : { sni: escapeText(serverName) }),
    ...(record.encryptedClientHello ? { ech: true } : {}),
    ...(tenant === undefined ? {} : { tenant }),
    ...(endpoint === undefined ? {} : { endpoint }),
    attempts: record.attempts,
    outcome: terminationOf(record.reason).outcome,
    reason: record.reason,
    ...(detail === undefined ? {} : { detail: escapeText(detail) }),
    closedBy: record.closedBy,
    acceptedAt: new Date(record.acceptedAtMs).toISOString(),
    ...(helloMs === undefined ? {} : { helloMs: roundMs(helloMs) }),
    ...(connectMs === undefined ? {} : { connectMs: roundMs(connectMs) }),
    totalMs: roundMs(record.totalMs),
    bytesFromDownstream: record.bytesFromDownstream,
    bytesFromUpstream: record.bytesFromUpstream,
    snapshotVersion: record.snapshotVersion,
  }
}

/**
 * Text of a peer as printable ASCII: a byte outside it, a backslash and a quote become `\xNN` (`\uNNNN` above Latin-1), so
 * that no viewer takes one for a new line, a new field or a terminal's command. What is longer than `textLengthMax` is cut
 * and ends in `...`.
 */
export function escapeText(text: string): string {
  const escaped = text.slice(0, textLengthMax).replace(/[^ -~]|["\\]/g, (character) => {
    const code = character.charCodeAt(0)
    return code > 0xff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\x${code.toString(16).padStart(2, '0')}`
  })
  return text.length > textLengthMax ? `${escaped}...` : escaped
}

function roundMs(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}

export class AccessLog {
  readonly #logger: Logger
  readonly #budget = new LineBudget<TerminationReason>(accessLogLimits)

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Lines not written since the start. */
  get suppressed(): number {
    return this.#budget.suppressed
  }

  /**
   * @param nowMs from a monotonic clock
   * @returns whether the line was written
   */
  write(record: ConnectionRecord, nowMs: number): boolean {
    const { outcome } = terminationOf(record.reason)
    const relayed = outcome === 'completed' || outcome === 'aborted'
    if (!relayed && !this.#budget.take(record.reason, nowMs)) return false
    this.#logger.info(accessLogFields(record), 'connection')
    return true
  }

  /** Tells how many lines were not written since the last summary, if any. */
  summarise(): void {
    const suppressed = this.#budget.takeSuppressed()
    if (suppressed === undefined) return
    this.#logger.warn({ suppressed, total: this.#budget.suppressed }, 'access-log lines of connections that were not relayed were suppressed')
  }
}
