// What a relay driver tells, and what those who watch it may ask: the seam between `relay` and `observe`, which never import
// each other.

import type { ConnectionRecord, RefusedAtAccept } from './connection-record.ts'
import type { KernelLaneLeave } from './kernel-lane-policy.ts'

/** Told of each connection. Called on the relay's own path: must return quickly and never throw. */
export interface RelayObserver {
  /** Exactly once for each accepted connection. */
  connectionEnded(record: ConnectionRecord): void
  /**
   * Instead of that for one that was reset as it was accepted. Absent: `connectionEnded` is told.
   * @param record makes its record, which costs more than the refusal did
   */
  connectionRefused?(refusal: RefusedAtAccept, record: () => ConnectionRecord): void
  /** Absent: nobody wants to know. */
  sourceDropped?(dropped: SourceDropped): void
  /** A failure that belongs to no connection: an accept that failed, for example. */
  driverError(error: Error, context: string): void
}

/** A source that went on over its rate gets no answer for a while, for the first time in some seconds. */
export interface SourceDropped {
  /** The listener's configured address. */
  readonly listener: string
  readonly address: string
  /** Refusals that came first. */
  readonly refusals: number
  readonly periodMs: number
}

/** Totals since the start, but for the gauges (`open…`). Read at each scrape, so live connections count at once. */
export interface RelayCounters {
  /** Accepted and not yet ended. */
  readonly openConnections: number
  /** Of these, not yet routed to a tenant: no whole ClientHello yet. */
  readonly openConnectionsBeforeHello: number
  readonly openConnectionsByListener: ReadonlyMap<string, number>
  /** Connections now open, over which new ones are refused with reason `connection-limit`. */
  readonly connectionsMax: number
  readonly bytesFromDownstream: number
  readonly bytesFromUpstream: number
  readonly dials: number
  readonly dialFailures: number
  /** Times that a reader was stopped because the other side's buffer was full. */
  readonly backpressurePauses: number
  readonly acceptErrors: number
  /** Times that accepting was paused for want of descriptors. This and what follows: absent in drivers that have none. */
  readonly acceptPauses?: number
  /** Connections that were taken in slices of time, because more waited than could be taken at once. */
  readonly pacedAccepts?: number
  /** Sources whose SYNs are thrown away now, by worker and listener; a gauge. */
  readonly sourcesDropped?: number
  /** Times that one began to be such a one. */
  readonly sourceDrops?: number
  /** Times that one should have, and there was no room or no filter for it. */
  readonly sourceDropsMissed?: number
  /** Directions of connections that were moved into splice. */
  readonly splices?: number
  /** Connections whose bytes the kernel moves by itself now; a gauge. */
  readonly kernelLaneConnections?: number
  /** Times that one began to be such a one. */
  readonly kernelLaneEntries?: number
  /** Times that one ceased to be, by why. */
  readonly kernelLaneLeaves?: Readonly<Record<KernelLaneLeave, number>>
  /** Polls before a wait, by whether they brought anything, or whether another program had the core meanwhile. */
  readonly busyPolls?: Readonly<Record<'hit' | 'miss' | 'shared', number>>
  /** Worker threads that are alive; a gauge. */
  readonly workers?: number
  readonly workerRestarts?: number
}
