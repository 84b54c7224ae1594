// What a driver tells a connection, and what a connection tells its driver.
//
//   sockets, timer ── ConnectionEvent ──▶ core/connection.ts ── ConnectionEffect ──▶ sockets, timer

import type { Endpoint } from './balance/endpoint.ts'

export type DialFailure = 'refused' | 'timeout' | 'unreachable' | 'error'

/** `attempt` is the number that the `dial` effect carried: what belongs to an earlier attempt is ignored. */
export type ConnectionEvent =
  /** The machine may keep `bytes`: a driver that reuses its buffer passes a copy. Only until the `relay` effect. */
  | { readonly kind: 'downstream-bytes'; readonly bytes: Uint8Array; readonly nowMs: number }
  | { readonly kind: 'downstream-fin'; readonly nowMs: number }
  | { readonly kind: 'downstream-lost'; readonly how: LostHow; readonly nowMs: number }
  /** The endpoint is a name whose address is asked for; it has one, and is dialled. What is neither failed nor resolved in time blames our resolver. */
  | { readonly kind: 'dial-resolving' | 'dial-resolved'; readonly attempt: number }
  | { readonly kind: 'dial-succeeded'; readonly attempt: number; readonly nowMs: number }
  | { readonly kind: 'dial-failed'; readonly attempt: number; readonly failure: DialFailure; readonly detail: string; readonly nowMs: number }
  /** The API server has sent its first byte; the driver writes it once it has performed the effects, and may read it only then. */
  | { readonly kind: 'upstream-answered'; readonly attempt: number; readonly nowMs: number }
  | { readonly kind: 'upstream-fin'; readonly attempt: number; readonly nowMs: number }
  | { readonly kind: 'upstream-lost'; readonly attempt: number; readonly how: LostHow; readonly nowMs: number }
  /** Everything that was to be sent on this side, FIN included, has been given to the system. */
  | { readonly kind: 'downstream-finished'; readonly nowMs: number }
  | { readonly kind: 'upstream-finished'; readonly attempt: number; readonly nowMs: number }
  /** The time of the last `deadline` effect has come. `lastActivityMs`: when the driver last moved a byte of the relay. */
  | { readonly kind: 'deadline'; readonly lastActivityMs: number; readonly nowMs: number }
  /** The gateway drains: the tenant's `timeouts.drain` begins. */
  | { readonly kind: 'drain'; readonly nowMs: number }
  /** The gateway, or what relays this connection, ends at once. */
  | { readonly kind: 'stop'; readonly reason: StopReason; readonly nowMs: number }

export type StopReason = 'gateway-stopped' | 'worker-failed' | 'system-limit' | 'node-revoked' | 'closed-by-operator'

/** Reset by its peer, or given up by the system because its peer acknowledges nothing any more. */
export type LostHow = 'reset' | 'unresponsive'

export type ConnectionEffect =
  /** Replaces the deadline before it. */
  | { readonly kind: 'deadline'; readonly atMs: number }
  | { readonly kind: 'pause-downstream' }
  | { readonly kind: 'resume-downstream' }
  | { readonly kind: 'dial'; readonly endpoint: Endpoint; readonly attempt: number }
  /** Give up this attempt's socket, connected or not, with RST. */
  | { readonly kind: 'drop-upstream'; readonly attempt: number }
  | { readonly kind: 'send-upstream'; readonly bytes: Uint8Array }
  /** Copy both ways from now on; downstream is read again if it was paused. */
  | { readonly kind: 'relay' }
  /** FIN, after every byte before it. */
  | { readonly kind: 'finish-downstream' }
  | { readonly kind: 'finish-upstream' }
  /** The last one. Only sockets that are still open need what it says. */
  | { readonly kind: 'end'; readonly downstream: DownstreamEnd; readonly upstream: UpstreamEnd }

/**
 * close: FIN was sent or is not owed · reset: RST after the bytes before it · send: these bytes, FIN, and close ·
 * hand-over: it stays open and is somebody else's from now on, with these bytes, which come before those still unread.
 */
export type DownstreamEnd = { readonly how: 'close' | 'reset' } | { readonly how: 'send' | 'hand-over'; readonly bytes: Uint8Array }
export type UpstreamEnd = 'none' | 'close' | 'reset'
