// What the sessions of a gateway come to, asked at each scrape. Each thread answers for its own sessions; how the answers become
// one is said here once for each figure.

import type { MuxCounters } from '../mux/limits.ts'

/**
 * How a figure of several threads is put together.
 * - sum: of what there is now
 * - largest: of what there is now
 * - total: a sum of what has happened; a thread that ends, or does not answer, takes nothing away from it
 */
type FigureKind = 'sum' | 'largest' | 'total'

const muxKinds = {
  streamsOpened: 'total', streamsAccepted: 'total', streamsRefused: 'total', resetsReceived: 'total', resetsSent: 'total',
  bytesReceived: 'total', bytesSent: 'total', framesReceived: 'total', framesSent: 'total', strayBytes: 'total',
} as const satisfies Record<keyof MuxCounters, FigureKind>

const figureKinds = {
  ...muxKinds,
  sessions: 'sum',
  streams: 'sum',
  /** Connections that are no sessions yet. */
  handshakes: 'sum',
  /** Of the growth that all windows together may have. */
  windowGrowthBytes: 'sum',
  /** Payload that waits to be sent, of all sessions. */
  sendQueueBytes: 'sum',
  /** … and of the session with the most. */
  sendQueueBytesMax: 'largest',
  /** Sessions with a ping that has waited for its answer for over `pingOverdueMs`. */
  pingsOverdue: 'sum',
  /** Of those that are in `rttCounts`. */
  rttSumMs: 'sum',
  /** Connections of API servers. */
  egressConnections: 'sum',
  /** … that wait for an agent's dial. */
  egressDials: 'sum',
  /** Links to other gateways that are up. */
  peerLinks: 'sum',
  /** Windows that could not grow for want of budget. */
  windowGrowthRefusals: 'total',
  /** Connections that were reset because there were too many handshakes. */
  handshakesRefused: 'total',
  /** Sessions that gave way to newer ones of their node. */
  sessionsEvicted: 'total',
} as const satisfies Record<string, FigureKind>

type FigureName = keyof typeof figureKinds

export interface TunnelFigures extends Readonly<Record<FigureName, number>> {
  /** Sessions by their round trip: one count for each of `rttBoundsMs`, and one for what is above. */
  readonly rttCounts: readonly number[]
}

/** Upper ones, included. */
export const rttBoundsMs = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500] as const

export const pingOverdueMs = 1_000

const names = Object.keys(figureKinds) as FigureName[]

/** The figures of nothing, but for what is given. */
export function figuresOf(known: Partial<TunnelFigures>): TunnelFigures {
  const none = Object.fromEntries(names.map((name) => [name, 0])) as Record<FigureName, number>
  return { ...none, rttCounts: rttBoundsMs.map(() => 0).concat(0), ...known }
}

export function addUp(parts: readonly TunnelFigures[]): TunnelFigures {
  const sum = figuresOf({})
  const numbers = names.map((name) => [name, parts.reduce((so, part) => figureKinds[name] === 'largest' ? Math.max(so, part[name]) : so + part[name], 0)] as const)
  return { ...sum, ...Object.fromEntries(numbers), rttCounts: sum.rttCounts.map((_, bucket) => parts.reduce((so, { rttCounts }) => so + (rttCounts[bucket] ?? 0), 0)) }
}

/** What stays true of a thread that is gone. */
export function totalsOf(figures: TunnelFigures): TunnelFigures {
  return figuresOf(Object.fromEntries(names.filter((name) => figureKinds[name] === 'total').map((name) => [name, figures[name]])))
}

/** A session that lives, as `MuxSession` has it. */
export interface LiveSession {
  readonly streamCount: number
  readonly queuedBytes: number
  readonly rttMs: number | undefined
  readonly pingUnansweredSinceMs: number | undefined
}

export function figuresOfSessions(sessions: readonly LiveSession[], nowMs: number): Pick<TunnelFigures, 'sessions' | 'streams' | 'sendQueueBytes' | 'sendQueueBytesMax' | 'pingsOverdue' | 'rttSumMs' | 'rttCounts'> {
  const rttCounts = rttBoundsMs.map(() => 0).concat(0)
  let [streams, sendQueueBytes, sendQueueBytesMax, pingsOverdue, rttSumMs] = [0, 0, 0, 0, 0]
  for (const { streamCount, queuedBytes, rttMs, pingUnansweredSinceMs = nowMs } of sessions) {
    streams += streamCount
    sendQueueBytes += queuedBytes
    sendQueueBytesMax = Math.max(sendQueueBytesMax, queuedBytes)
    if (nowMs - pingUnansweredSinceMs > pingOverdueMs) pingsOverdue += 1
    if (rttMs === undefined) continue
    rttSumMs += rttMs
    const bucket = rttBoundsMs.findIndex((boundMs) => rttMs <= boundMs)
    const at = bucket < 0 ? rttBoundsMs.length : bucket
    rttCounts[at] = (rttCounts[at] ?? 0) + 1
  }
  return { sessions: sessions.length, streams, sendQueueBytes, sendQueueBytesMax, pingsOverdue, rttSumMs, rttCounts }
}
