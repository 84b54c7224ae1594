// What the tunnel tells of itself to whoever counts and logs.

import type { IdentityRefusal } from '../../core/identity/join-token.ts'
import type { SessionEnd } from '../../core/mux/limits.ts'
import type { ForwardRecord } from './forward-stream.ts'

/** Why an agent gets no session: its identity, or the gateway's own state. */
export type SessionRefusal = IdentityRefusal | 'paced' | 'draining' | 'too-many-sessions' | 'not-a-tunnel'

export interface SessionFacts {
  readonly tenant: string
  readonly node: string
  readonly keyId: string
  readonly remote: string
}

export interface TunnelObserver {
  /** @param enrolled by this very connection */
  sessionStarted(session: SessionFacts, enrolled: boolean): void
  sessionEnded(session: SessionFacts, end: SessionEnd): void
  sessionRefused(reason: SessionRefusal, agent: { readonly node: string | undefined; readonly remote: string }): void
  streamEnded(session: SessionFacts, record: ForwardRecord): void
  /** A failure that belongs to no session. */
  failed(error: unknown, context: string): void
}
