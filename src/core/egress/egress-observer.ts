// What an egress tells of itself to whoever counts and logs.

import type { ConnectStatus } from '../tunnel/connect-head.ts'

/** Why an API server was refused a connection, or got none. */
export const egressRefusals = [
  /** 400: no CONNECT, or none in time. */
  'malformed',
  /** 403: the client certificate names no tenant that there is, or the agents' own policies refuse the destination. */
  'forbidden',
  /** 503: none of the tenant's agents that are connected has the address, or announces it. */
  'no-agent',
  /** 503: too many connections, or too many that wait for their dial. */
  'too-many',
  /** 502: agents could not reach the destination. */
  'unreachable',
  /** 504: no answer in time, of the destination or of the agent. */
  'timeout',
] as const

export type EgressRefusal = (typeof egressRefusals)[number]

/** How a connection of an API server's has ended. */
export const egressEnds = ['completed', 'socket-reset', 'stream-reset', 'refused', 'abandoned', 'closed-by-operator'] as const

/** A connection that an API server had asked for. */
export interface EgressRecord {
  readonly id: string
  /** Undefined: nobody that is known. */
  readonly tenant: string | undefined
  /** `host:port`, as it was asked for. */
  readonly target: string | undefined
  /** The node whose agent dialled, or was the last to try. */
  readonly node: string | undefined
  /** Undefined: it was abandoned before there was an answer. */
  readonly status: ConnectStatus | undefined
  readonly refusal: EgressRefusal | undefined
  readonly end: (typeof egressEnds)[number]
  /** Of a refusal: what the API server was told. */
  readonly detail: string
  /** Agents that were asked. */
  readonly attempts: number
  /** From the whole head to the answer; undefined: there was none. */
  readonly dialMs: number | undefined
  readonly toNodeBytes: number
  readonly fromNodeBytes: number
}

export interface EgressObserver {
  egressEnded(record: EgressRecord): void
  /** A client of an egress with TLS that has shown no certificate of its authority. */
  egressRefused(entry: string, detail: string): void
}
