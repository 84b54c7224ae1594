// What is decided about a connection once its bytes go straight across: FIN and RST, deadlines, and how it ends.
//
//   open ─FIN from one side─▶ half-closed ─FIN from the other, both passed on─▶ completed
//     └──────────── RST, deadline ──────────┴───────────────────────────────▶ aborted
//
// Its state is a few bits and times, so that a driver with a hundred thousand connections can keep them in typed arrays;
// the functions here take and give numbers. `Connection` decides by them too.

import type { LostHow } from './connection-events.ts'
import type { ClosedBy } from './connection-record.ts'
import type { TerminationReason } from './termination.ts'

export type Side = 'downstream' | 'upstream'

/** A set of these is a relayed connection's state; it begins at 0. */
const downstreamFin = 1
const upstreamFin = 2
/** Everything that was to be sent on that side, FIN included, has been given to the system. */
const downstreamFinished = 4
const upstreamFinished = 8
const upstreamFinFirst = 16
const completed = downstreamFin | upstreamFin | downstreamFinished | upstreamFinished

export interface RelayLimits {
  readonly idleTimeoutMs: number
  readonly halfClosedTimeoutMs: number
}

export function hasFin(bits: number, side: Side): boolean {
  return (bits & (side === 'downstream' ? downstreamFin : upstreamFin)) !== 0
}

/** `side` has sent FIN: it is owed to the other. */
export function withFin(bits: number, side: Side): number {
  if (side === 'downstream') return bits | downstreamFin
  return (bits & downstreamFin) === 0 ? bits | upstreamFin | upstreamFinFirst : bits | upstreamFin
}

/** The FIN that `side` was owed has been given to the system; before it is owed this means nothing. */
export function withFinished(bits: number, side: Side): number {
  if (side === 'downstream') return hasFin(bits, 'upstream') ? bits | downstreamFinished : bits
  return hasFin(bits, 'downstream') ? bits | upstreamFinished : bits
}

export function isCompleted(bits: number): boolean {
  return (bits & completed) === completed
}

/** Whose FIN came first. */
export function completedBy(bits: number): ClosedBy {
  return (bits & upstreamFinFirst) === 0 ? 'downstream' : 'upstream'
}

export function lostReason(side: Side, how: LostHow): TerminationReason {
  if (side === 'downstream') return how === 'reset' ? 'downstream-reset' : 'downstream-unresponsive'
  return how === 'reset' ? 'upstream-reset' : 'upstream-unresponsive'
}

/**
 * The earliest of what can end a relayed connection without its peers.
 * @param drainAtMs when the gateway, which drains, closes it (live/spread.ts); Infinity while it does not
 */
export function relayDeadlineMs(bits: number, activityMs: number, drainAtMs: number, limits: RelayLimits): number {
  return Math.min(drainAtMs, quietDeadlineMs(bits, activityMs, limits))
}

/** What that deadline ends it for. */
export function relayDeadlineReason(bits: number, activityMs: number, drainAtMs: number, limits: RelayLimits): TerminationReason {
  if (drainAtMs <= quietDeadlineMs(bits, activityMs, limits)) return 'drain-timeout'
  return isHalfClosed(bits) ? 'half-closed-timeout' : 'idle-timeout'
}

function quietDeadlineMs(bits: number, activityMs: number, { idleTimeoutMs, halfClosedTimeoutMs }: RelayLimits): number {
  return activityMs + (isHalfClosed(bits) ? Math.min(halfClosedTimeoutMs, idleTimeoutMs) : idleTimeoutMs)
}

/** As those who look on call it. */
export function relayedPhase(bits: number): 'relaying' | 'half-closed' {
  return isHalfClosed(bits) ? 'half-closed' : 'relaying'
}

function isHalfClosed(bits: number): boolean {
  return (bits & (downstreamFin | upstreamFin)) !== 0
}
