// What is known of one connection when it has ended: the source of its access-log line and of its metrics.

import type { SocketAddress } from './net/socket-address.ts'
import type { ProxyTlvs } from './proxy-protocol/header.ts'
import type { TerminationReason } from './termination.ts'

export type ClosedBy = 'downstream' | 'upstream' | 'gateway'

/** Of one that was refused as it was accepted: all that is known. */
export type RefusedAtAccept = Pick<ConnectionRecord, 'reason' | 'listener'>

export function refusedRecord(known: RefusedAtAccept & Pick<ConnectionRecord, 'id' | 'downstream' | 'snapshotVersion' | 'acceptedAtMs'>): ConnectionRecord {
  return { ...known, client: known.downstream, closedBy: 'gateway', encryptedClientHello: false, attempts: 0, totalMs: 0, bytesFromDownstream: 0, bytesFromUpstream: 0 }
}

/** Absent fields were never reached. Times are milliseconds, from a monotonic clock but for `acceptedAtMs`. */
export interface ConnectionRecord {
  /** Unique for this gateway process and, in practice, for the fleet; also the UNIQUE_ID of a PROXY header that is sent, unless one came in. */
  readonly id: string
  readonly reason: TerminationReason
  /** What exactly was wrong, where the reason alone does not tell. May quote the peer: escape before printing. */
  readonly detail?: string
  readonly closedBy: ClosedBy
  /** The listener's configured address, as written in the configuration. */
  readonly listener: string
  /** The peer of the accepted socket. */
  readonly downstream: SocketAddress
  /** The client: from the PROXY header where one was accepted, else the same as `downstream`. */
  readonly client: SocketAddress
  /** What else the PROXY header told. Texts of the peer's: escape before printing. */
  readonly proxied?: ProxyTlvs
  /** As it stood in the hello, not normalised. May hold any byte (as Latin-1): escape before printing. */
  readonly serverName?: string
  /** The hello carried an encrypted_client_hello extension: a real one or GREASE, nobody but the client can tell. */
  readonly encryptedClientHello: boolean
  readonly tenant?: string
  /** Key id of the node whose agent's ticket brought it. */
  readonly node?: string
  /** The endpoint of the last attempt, `address:port`. */
  readonly endpoint?: string
  /** Endpoints dialled. */
  readonly attempts: number
  readonly snapshotVersion: number
  /** Unix epoch. */
  readonly acceptedAtMs: number
  /** Accept to whole hello. */
  readonly helloMs?: number
  /** First dial to the connection that was used. */
  readonly connectMs?: number
  /** Accept to end. */
  readonly totalMs: number
  /** Read from the client, PROXY header and hello included. */
  readonly bytesFromDownstream: number
  /** Read from the API server. */
  readonly bytesFromUpstream: number
}
