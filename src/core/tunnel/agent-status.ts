// The answer of an agent's `/v1/status`, made of what it tells of itself.

import { formatSocketAddress } from '../net/socket-address.ts'
import type { ForwardFacts, LinkFacts, LinkState, ReverseFacts } from './agent-observer.ts'
import type { RefusedAnnouncement } from './announcement.ts'

/** Times are ISO 8601. */
export interface AgentStatus {
  readonly node: string
  readonly version: string
  readonly since: string
  /** A session is up. */
  readonly ready: boolean
  /** `host:port`; absent: none */
  readonly proxy?: string
  readonly gateways: readonly GatewayStatus[]
  readonly forwards: readonly ForwardStatus[]
  /** From the API server to this side. */
  readonly reverse: ReverseFacts
}

export interface GatewayStatus {
  /** `host:port` */
  readonly gateway: string
  readonly state: LinkState['kind']
  /** Of the state. */
  readonly since: string
  /** Of the session's round trip. */
  readonly rttMs?: number
  readonly streams: number
  /** Why the last try or session ended; it stays when a later one is up. */
  readonly lastError?: { readonly at: string; readonly why: string }
  /** While it waits. */
  readonly nextTry?: string
  /** Of what the node announces, what does not hold there; absent: all does. */
  readonly refusedAnnouncements?: readonly RefusedAnnouncement[]
}

export interface ForwardStatus {
  /** As bound. */
  readonly address: string
  readonly connections: number
  /** Of these, those that wait for a session. */
  readonly waiting: number
}

export interface AgentFacts {
  readonly node: string
  readonly version: string
  /** As the times of links. */
  readonly startedAtMs: number
  readonly proxy: string | undefined
  readonly links: readonly LinkFacts[]
  readonly forwards: readonly ForwardFacts[]
  readonly reverse: ReverseFacts
  /** From the process's own time to ISO 8601. */
  readonly time: (ms: number) => string
}

export function agentStatus({ node, version, startedAtMs, proxy, links, forwards, reverse, time }: AgentFacts): AgentStatus {
  return {
    node, version,
    since: time(startedAtMs),
    ready: links.some(({ state }) => state.kind === 'up'),
    ...(proxy === undefined ? {} : { proxy }),
    gateways: links.map(({ gateway, state, sinceMs, rttMs, streamCount, lastFault, refusedAnnouncements }) => ({
      gateway,
      state: state.kind,
      since: time(sinceMs),
      ...(rttMs === undefined ? {} : { rttMs: Math.round(rttMs * 1_000) / 1_000 }),
      streams: streamCount,
      ...(lastFault === undefined ? {} : { lastError: { at: time(lastFault.atMs), why: lastFault.why } }),
      ...(state.kind === 'waiting' ? { nextTry: time(state.untilMs) } : {}),
      ...(refusedAnnouncements.length === 0 ? {} : { refusedAnnouncements }),
    })),
    forwards: forwards.map(({ listen, bound, connectionCount, waitingCount }) => ({ address: formatSocketAddress(bound ?? listen), connections: connectionCount, waiting: waitingCount })),
    reverse,
  }
}
