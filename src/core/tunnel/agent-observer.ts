// What an agent tells of itself to whoever counts and logs.

import type { SessionEnd } from '../mux/limits.ts'
import type { SocketAddress } from '../net/socket-address.ts'
import type { RefusedAnnouncement } from './announcement.ts'
import type { DialledRecord, RelayEnd, SessionRefusal } from './tunnel-observer.ts'

/** From nothing to a session, in order. */
export const connectSteps = ['name', 'tcp', 'proxy-answer', 'tls', 'upgrade'] as const

export type ConnectStep = (typeof connectSteps)[number]

/** Why there is no session. */
export type LinkFault =
  | { readonly kind: 'unreachable'; readonly step: ConnectStep }
  /** @property reason other: one that we don't know */
  | { readonly kind: 'refused'; readonly reason: SessionRefusal | 'other' }
  | { readonly kind: 'ended'; readonly reason: SessionEnd['reason'] }

export type LinkState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'up'; readonly sinceMs: number }
  | { readonly kind: 'draining' }
  /** @property why in words, for a person */
  | { readonly kind: 'waiting'; readonly why: string; readonly fault: LinkFault; readonly untilMs: number }
  | { readonly kind: 'closed' }

export const linkStates = ['connecting', 'up', 'draining', 'waiting'] as const satisfies readonly LinkState['kind'][]

/** A session with one gateway, or the lack of it. Times are the process's own (`performance.now()`). */
export interface LinkFacts {
  /** `host:port` */
  readonly gateway: string
  readonly state: LinkState
  readonly sinceMs: number
  /** Of the session's round trip; undefined while none is known. */
  readonly rttMs: number | undefined
  readonly streamCount: number
  /** Why the last try or session ended. */
  readonly lastFault: { readonly why: string; readonly atMs: number } | undefined
  /** Of what the node announces, what does not hold there. */
  readonly refusedAnnouncements: readonly RefusedAnnouncement[]
}

/** A connection of the API server's to something on the agent's side. */
export interface ReverseRecord extends DialledRecord {
  /** `host:port` of the gateway that asked. */
  readonly gateway: string
  /** From the head to the answer; undefined: there was none. */
  readonly dialMs: number | undefined
}

/** What there is now of the way from the API server. */
export interface ReverseFacts {
  readonly connections: number
  /** Of these, those that are being dialled. */
  readonly dials: number
}

/** How a connection of the node has ended. refused: by the gateway's answer · no-session: none came in time */
export type ForwardedEnd = RelayEnd | 'refused' | 'no-session'

export const forwardedEnds = ['completed', 'socket-reset', 'stream-reset', 'refused', 'no-session'] as const satisfies readonly ForwardedEnd[]

/** mux: a stream of a session · direct: a TCP connection of its own */
export const lanes = ['mux', 'direct'] as const

export interface ForwardedRecord {
  readonly client: SocketAddress
  readonly lane: (typeof lanes)[number]
  /** The gateway's answer; undefined: there was none. */
  readonly status: number | undefined
  readonly end: ForwardedEnd
  readonly toUpstreamBytes: number
  readonly fromUpstreamBytes: number
}

/** One address that is listened on. */
export interface ForwardFacts {
  readonly listen: SocketAddress
  /** undefined before it is bound */
  readonly bound: SocketAddress | undefined
  readonly connectionCount: number
  /** Of these, those that wait for a session. */
  readonly waitingCount: number
  /** Since the start, open connections included. */
  readonly toUpstreamBytes: number
  readonly fromUpstreamBytes: number
}

export interface AgentObserver {
  /** Its state is another one. */
  linkChanged(link: LinkFacts): void
  /** The gateway answered, and said no. */
  linkRefused(link: LinkFacts, why: string): void
  /** What does not hold of the announcement is another: the link says. */
  announcementsRefused(link: LinkFacts): void
  connectionEnded(record: ForwardedRecord): void
  reverseEnded(record: ReverseRecord): void
}
