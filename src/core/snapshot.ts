// The configuration as the relay sees it: immutable, versioned, replaced whole. A connection takes the current one when
// it is accepted and keeps it to its end, so a reload never touches a live connection and never mixes two versions.

import type { Scheduler } from './balance/scheduler.ts'
import type { CidrSet } from './net/cidr.ts'
import type { HostnameTable } from './route/table.ts'

export interface Snapshot {
  /** Counts the snapshots that this process published: 1, 2, … */
  readonly version: number
  /** By listener name. */
  readonly listeners: ReadonlyMap<string, ListenerPolicy>
  readonly hostnames: HostnameTable<TenantPolicy>
  /** By tenant name. */
  readonly tenants: ReadonlyMap<string, TenantPolicy>
}

export interface ListenerPolicy {
  /** The address as written in the configuration. */
  readonly name: string
  /** Takes hellos without a name; absent: they are refused. */
  readonly defaultTenant?: TenantPolicy
  /** Present: every connection must come from one of these and begin with a PROXY header. */
  readonly proxyProtocolTrustedSources?: CidrSet
  /** From the accept to the whole hello, PROXY header included. */
  readonly helloTimeoutMs: number
}

export interface TenantPolicy {
  readonly name: string
  /** Keeps its place over reloads as long as the tenant's endpoints stay the same. */
  readonly scheduler: Scheduler
  readonly allowedSources?: CidrSet
  readonly sendProxyProtocol?: 'v1' | 'v2'
  /** Endpoints dialled for one connection at the most, ≥1. */
  readonly attemptsMax: number
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly halfClosedTimeoutMs: number
  readonly drainTimeoutMs: number
}
