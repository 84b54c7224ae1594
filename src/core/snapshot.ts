// The configuration as the relay sees it: immutable and versioned. A connection takes the current one when it is accepted
// and keeps it to its end, so a reload never touches a live connection and never mixes two versions.
//
//   Snapshot ── SnapshotChange ──▶ Snapshot'         snapshot-change.ts
//
// A change is plain data, so that it can be sent to other threads; two snapshots share what the change leaves alone.

import type { ActiveCounts } from './balance/active-counts.ts'
import type { EjectionSpec } from './balance/ejections.ts'
import type { Endpoint } from './balance/endpoint.ts'
import type { Scheduler, SchedulerKind } from './balance/scheduler.ts'
import type { HealthSpec } from './health/health-spec.ts'
import type { CountedLimits, ListenerLimits, ProcessLimits, TenantLimits } from './limit/limits.ts'
import type { RetryBudget, RetryBudgetSpec } from './limit/retry-budget.ts'
import type { CidrSetCache } from './net/cidr-set-cache.ts'
import type { CidrSet } from './net/cidr.ts'
import type { SentProxyHeader } from './proxy-protocol/sent-header.ts'
import type { HostnameTable } from './route/table.ts'
import type { ShardedMap } from './sharded-map.ts'

export interface Snapshot {
  /** Counts the configurations that this process has run: 1, 2, … */
  readonly version: number
  /** By listener name. */
  readonly listeners: ReadonlyMap<string, ListenerPolicy>
  readonly hostnames: HostnameTable<TenantPolicy>
  /** Exact names that come before tenants': who asks for one is handed over to the tunnel. */
  readonly tunnelHostnames: ReadonlySet<string>
  /** By tenant name. */
  readonly tenants: ShardedMap<TenantPolicy>
  readonly limits: ProcessLimits
  /** Handed on from snapshot to snapshot, for tenants to share. */
  readonly cidrSets: CidrSetCache
}

export interface ListenerPolicy {
  /** The address as written in the configuration. */
  readonly name: string
  /** Takes hellos without a name; absent: they are refused. */
  readonly defaultTenant?: TenantPolicy
  /**
   * No hello is read: every connection goes to `defaultTenant` as soon as it is accepted, and is handed over where no endpoint
   * answers. For an agent's listeners.
   */
  readonly withoutHello?: boolean
  /** Present: every connection must come from one of these and begin with a PROXY header. */
  readonly proxyProtocolTrustedSources?: CidrSet
  /** From the accept to the whole hello, PROXY header included. */
  readonly helloTimeoutMs: number
  /** Of `AdmissionTables`; absent: its connections are not counted there. */
  readonly limitRow?: number
  /** Absent: none. */
  readonly limits?: CountedLimits
}

export interface TenantPolicy {
  readonly name: string
  /** Its patterns in the table of hostnames. */
  readonly hostnames: readonly string[]
  /** Keeps its place over reloads as long as the tenant's endpoints stay the same. */
  readonly scheduler: Scheduler
  /** Whoever picks an endpoint counts its connection here, and counts it off when it has ended. */
  readonly active: ActiveCounts
  readonly allowedSources?: CidrSet
  readonly sendProxyProtocol?: SentProxyHeader
  /** As in `TenantSpec`. */
  readonly mayAnnounce?: readonly string[]
  /** Endpoints dialled for one connection at the most, ≥1. */
  readonly attemptsMax: number
  /** Absent: every further attempt is made. */
  readonly retryBudget?: RetryBudget
  readonly connectTimeoutMs: number
  /** From the client's first bytes, which went to an endpoint, to its first byte: then the next one is tried. */
  readonly answerTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly halfClosedTimeoutMs: number
  readonly drainTimeoutMs: number
  /** As of a listener. */
  readonly limitRow?: number
  readonly limits?: CountedLimits
}

/** What the next snapshot has that the one before has not. It can be cloned between threads. */
export interface SnapshotChange {
  /** Of the snapshot that it makes. The same as before where only listeners change while a reload binds them. */
  readonly version: number
  /** All of them. */
  readonly listeners: readonly ListenerSpec[]
  /** All of them, normalised, without wildcards; absent: none. */
  readonly tunnelHostnames?: readonly string[]
  /** Absent: none. */
  readonly limits?: ProcessLimits
  /** New or changed ones, each once. */
  readonly tenants: readonly TenantSpec[]
  /** By name; `all-others`: whoever is not in `tenants`. */
  readonly removedTenants: readonly string[] | 'all-others'
}

/** A listener as plain data. */
export interface ListenerSpec {
  /** The address as written in the configuration. */
  readonly name: string
  /** The tenant that hellos without a name go to; absent, or no tenant's name: they are refused. */
  readonly defaultTenant?: string
  /** As in `ListenerPolicy`. @default false */
  readonly withoutHello?: boolean
  /** Networks in CIDR notation. */
  readonly proxyProtocol?: { readonly trustedSources: readonly string[] }
  readonly helloTimeoutMs: number
  /** Absent: none. */
  readonly limits?: ListenerLimits
  /** From `LimitRows`. */
  readonly limitRow?: number
}

/** A tenant as plain data, every default resolved. */
export interface TenantSpec {
  readonly name: string
  /** Normalised: exact names and `*.` wildcards. */
  readonly hostnames: readonly string[]
  readonly scheduler: SchedulerKind
  readonly endpoints: readonly Endpoint[]
  readonly connectTimeoutMs: number
  readonly answerTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly halfClosedTimeoutMs: number
  readonly drainTimeoutMs: number
  readonly attemptsMax: number
  /** Absent: none. */
  readonly retryBudget?: RetryBudgetSpec
  /** Absent: its endpoints are not checked. */
  readonly health?: HealthSpec
  /** Absent: none is ejected. */
  readonly ejection?: EjectionSpec
  /** Networks in CIDR notation; absent: every source. */
  readonly allowedSources?: readonly string[]
  readonly sendProxyProtocol?: SentProxyHeader
  /** Networks in CIDR notation, and names (`allowedName`), that its agents may announce; absent: whatever can be announced at all. */
  readonly mayAnnounce?: readonly string[]
  /** Absent: none. */
  readonly limits?: TenantLimits
  /** From `LimitRows`. */
  readonly limitRow?: number
}
