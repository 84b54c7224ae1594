// What a gateway's side of the tunnel tells of itself to whoever counts and logs.

import type { EgressObserver } from '../egress/egress-observer.ts'
import type { Announced } from '../egress/agent-table.ts'
import type { IdentityRefusal } from '../identity/join-token.ts'
import type { SessionEnd } from '../mux/limits.ts'
import type { RefusedAnnouncement } from './announcement.ts'
import type { ConnectStatus } from './connect-head.ts'

/** Why an agent gets no session: its identity, or the gateway's own state. */
export type SessionRefusal = IdentityRefusal | 'paced' | 'draining' | 'too-many-sessions' | 'not-a-tunnel' | 'not-a-peer'

export const sessionRefusals = [
  'malformed', 'proof-wrong', 'certificate-missing', 'certificate-wrong', 'node-unknown', 'node-revoked', 'name-mismatch', 'token-unknown', 'token-expired', 'token-used-up', 'token-revoked', 'too-many-nodes',
  'paced', 'draining', 'too-many-sessions', 'not-a-tunnel', 'not-a-peer',
] as const satisfies readonly SessionRefusal[]

export const sessionEndReasons = ['closed', 'silent', 'protocol-error', 'flood', 'peer-error'] as const satisfies readonly SessionEnd['reason'][]

export const floodKinds = ['opens', 'resets', 'pings', 'empty', 'updates', 'control', 'stray'] as const satisfies readonly (SessionEnd & { readonly reason: 'flood' })['kind'][]

/** How a stream and the socket beside it have ended. */
export type RelayEnd =
  /** Both sides have finished. */
  | 'completed'
  /** The socket was reset or broke. */
  | 'socket-reset'
  /** The stream was reset, or its session has ended. */
  | 'stream-reset'

export const dialledEnds = ['completed', 'socket-reset', 'stream-reset', 'refused', 'abandoned', 'closed-by-operator'] as const

/** A stream that the other side of a session had opened: an agent's to its API server, or a gateway's to what is behind an agent. */
export interface DialledRecord {
  /** Of an agent's stream: its session's and its own, also the UNIQUE_ID of a PROXY header that is sent. */
  readonly id?: string
  /** `host:port`, as it was asked for; undefined: it was not. Agents' streams go to their API server whatever they ask for. */
  readonly target: string | undefined
  /** What was answered; undefined: nothing. */
  readonly status: ConnectStatus | undefined
  /**
   * refused: it was answered that nobody could be reached · abandoned: the other side left before there was an answer ·
   * closed-by-operator: as of connections, and never on an agent
   */
  readonly end: (typeof dialledEnds)[number]
  /** Of a refusal: which endpoint, and what the system said. */
  readonly detail: string
  readonly toUpstreamBytes: number
  readonly fromUpstreamBytes: number
}

export interface SessionFacts {
  /** Unique for this process and, in practice, for the fleet. */
  readonly id: string
  readonly tenant: string
  readonly node: string
  readonly keyId: string
  /** The agent's address. */
  readonly remote: string
  /** Unix time since when its node has had a session without a break. */
  readonly sinceMs: number
  /** What it says that it reaches, less what it may not say. */
  readonly announced: Announced
}

export interface RefusedAgent {
  /** As it calls itself. */
  readonly node: string | undefined
  readonly remote: string
  /** What the reason alone does not say. */
  readonly detail?: string | undefined
}

export interface TunnelObserver extends EgressObserver {
  /** @param enrolled by this very connection */
  sessionStarted(session: SessionFacts, enrolled: boolean): void
  /** Of what it announces other things hold than before: the configuration is another one. */
  sessionChanged(session: SessionFacts): void
  /** It takes no new connections: its gateway drains. */
  sessionLeaving(session: SessionFacts): void
  sessionEnded(session: SessionFacts, end: SessionEnd): void
  sessionRefused(reason: SessionRefusal, agent: RefusedAgent): void
  announcementRefused(session: SessionFacts, refused: RefusedAnnouncement): void
  /** What was refused is no longer: the configuration is another one, or the node that had the address has left it. */
  announcementHolds(session: SessionFacts, announced: string): void
  /** A link to another gateway is up, or is not, and why. */
  peerLinkChanged(gatewayId: string, why: string | undefined): void
  streamEnded(session: SessionFacts, record: DialledRecord): void
  /** A failure that belongs to no session. */
  failed(error: unknown, context: string): void
}
