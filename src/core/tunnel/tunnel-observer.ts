// What a gateway's side of the tunnel tells of itself to whoever counts and logs.

import type { IdentityRefusal } from '../identity/join-token.ts'
import type { SessionEnd } from '../mux/limits.ts'
import type { ConnectStatus } from './connect-head.ts'

/** Why an agent gets no session: its identity, or the gateway's own state. */
export type SessionRefusal = IdentityRefusal | 'paced' | 'draining' | 'too-many-sessions' | 'not-a-tunnel'

export const sessionRefusals = [
  'malformed', 'proof-wrong', 'certificate-missing', 'certificate-wrong', 'node-unknown', 'node-revoked', 'name-mismatch', 'token-unknown', 'token-expired', 'token-used-up', 'token-revoked',
  'paced', 'draining', 'too-many-sessions', 'not-a-tunnel',
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

export const forwardEnds = ['completed', 'socket-reset', 'stream-reset', 'refused', 'abandoned'] as const

/** A stream that an agent had opened. */
export interface ForwardRecord {
  /** What the agent was answered; undefined: nothing. */
  readonly status: ConnectStatus | undefined
  /** refused: it was answered that no API server could be reached · abandoned: the agent left before there was an answer */
  readonly end: (typeof forwardEnds)[number]
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
}

export interface RefusedAgent {
  /** As it calls itself. */
  readonly node: string | undefined
  readonly remote: string
  /** What the reason alone does not say. */
  readonly detail?: string | undefined
}

export interface TunnelObserver {
  /** @param enrolled by this very connection */
  sessionStarted(session: SessionFacts, enrolled: boolean): void
  sessionEnded(session: SessionFacts, end: SessionEnd): void
  sessionRefused(reason: SessionRefusal, agent: RefusedAgent): void
  streamEnded(session: SessionFacts, record: ForwardRecord): void
  /** A failure that belongs to no session. */
  failed(error: unknown, context: string): void
}
