// The answer of an agent's `/v1/status`, made of what it tells of itself.

import { formatSocketAddress } from '../net/socket-address.ts'
import type { ForwardFacts, LinkFacts, LinkState } from './agent-observer.ts'

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
  /** From the process's own time to ISO 8601. */
  readonly time: (ms: number) => string
}

export function agentStatus({ node, version, startedAtMs, proxy, links, forwards, time }: AgentFacts): AgentStatus {
  return {
    node, version,
    since: time(startedAtMs),
    ready: links.some(({ state }) => state.kind === 'up'),
    ...(proxy === undefined ? {} : { proxy }),
    gateways: links.map(({ gateway, state, sinceMs, rttMs, streamCount, lastFault }) => ({
      gateway,
      state: state.kind,
      since: time(sinceMs),
      ...(rttMs === undefined ? {} : { rttMs: Math.round(rttMs * 1_000) / 1_000 }),
      streams: streamCount,
      ...(lastFault === undefined ? {} : { lastError: { at: time(lastFault.atMs), why: lastFault.why } }),
      ...(state.kind === 'waiting' ? { nextTry: time(state.untilMs) } : {}),
    })),
    forwards: forwards.map(({ listen, bound, connectionCount, waitingCount }) => ({ address: formatSocketAddress(bound ?? listen), connections: connectionCount, waiting: waitingCount })),
  }
}
