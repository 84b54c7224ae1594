// One line for each connection, at its end. A line of a connection that was refused before it had a tenant costs its sender
// next to nothing, so those have a budget; what it suppresses is counted and told of. Lines of routed connections are
// always written.

import type { ConnectionRecord } from '../core/connection-record.ts'
import { TokenBucket } from '../core/limit/token-bucket.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import { terminationOf } from '../core/termination.ts'
import type { Logger } from './log.ts'

/** Lines of connections without a tenant, for each process. */
const refusedLinesPerSecond = 100
const refusedLinesBurst = 500
/** A hostname has at most 253 characters; what is longer is cut here. */
const textLengthMax = 300
/** How often it is told how many lines were suppressed, while there are any. */
const summaryIntervalMs = 10_000

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
 * Text of a peer as printable ASCII: a byte outside it, a backslash and a quote become `\xNN`, so that no viewer takes one
 * for a new line, a new field or a terminal's command.
 */
export function escapeText(text: string): string {
  const escaped = text.slice(0, textLengthMax).replace(/[^ -~]|["\\]/g, (character) => {
    const code = character.charCodeAt(0)
    return code > 0xff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\x${code.toString(16).padStart(2, '0')}`
  })
  return text.length > textLengthMax ? `${escaped}…` : escaped
}

function roundMs(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}

export class AccessLog {
  readonly #logger: Logger
  readonly #budget: TokenBucket
  #suppressed = 0
  #suppressedSinceSummary = 0
  #summaryMs: number

  constructor(logger: Logger, nowMs: number) {
    this.#logger = logger
    this.#budget = new TokenBucket({ ratePerSecond: refusedLinesPerSecond, burst: refusedLinesBurst, nowMs })
    this.#summaryMs = nowMs
  }

  /** Lines not written since the start. */
  get suppressed(): number {
    return this.#suppressed
  }

  write(record: ConnectionRecord, nowMs: number): void {
    this.#summarise(nowMs)
    if (record.tenant === undefined && !this.#budget.take(nowMs)) {
      this.#suppressed += 1
      this.#suppressedSinceSummary += 1
      return
    }
    this.#logger.info(accessLogFields(record), 'connection')
  }

  #summarise(nowMs: number): void {
    if (this.#suppressedSinceSummary === 0 || nowMs - this.#summaryMs < summaryIntervalMs) return
    this.#logger.warn({ suppressed: this.#suppressedSinceSummary, total: this.#suppressed }, 'access-log lines of refused connections were suppressed')
    this.#suppressedSinceSummary = 0
    this.#summaryMs = nowMs
  }
}
