// From one snapshot and a change to the next.
//
// What must outlive a change is carried over here: a scheduler keeps its place as long as the tenant's endpoints are the
// same, so that reloading a file again and again does not send every first connection to the first endpoint.

import { noActiveCounts, type ActiveCounts } from './balance/active-counts.ts'
import { createScheduler } from './balance/create-scheduler.ts'
import { allReady, type EndpointStates } from './balance/endpoint-states.ts'
import type { Endpoint } from './balance/endpoint.ts'
import type { Scheduler } from './balance/scheduler.ts'
import { countedLimits } from './limit/limits.ts'
import { retryBudget } from './limit/retry-budget.ts'
import { CidrSetCache } from './net/cidr-set-cache.ts'
import { HostnameTable, type HostnameTableDraft } from './route/table.ts'
import { ShardedMap, type ShardedMapDraft } from './sharded-map.ts'
import type { ListenerPolicy, ListenerSpec, Snapshot, SnapshotChange, TenantPolicy, TenantSpec } from './snapshot.ts'
import { stableHash } from './stable-hash.ts'

/** Tenants that a step takes in: it is over in a millisecond or two, also where none of what it looks at is in a cache. */
const tenantsPerStep = 100

export interface SnapshotChangeOptions {
  /**
   * Where schedulers begin, beside what a tenant's name says: different ones keep several threads from sending a tenant's
   * first connections to one endpoint.
   * @default 0
   */
  readonly schedulerOffset?: number
  /** What this thread counts its connections by. @default nobody counts */
  readonly active?: ActiveCounts
  /** What its endpoints may be given. @default all are ready */
  readonly states?: EndpointStates
}

/**
 * The snapshot that the change makes; `previous` stays as it is.
 * @param previous undefined: an empty one
 * @throws {DuplicateHostnameError} where the change is no change of `previous`
 */
export function applySnapshotChange(previous: Snapshot | undefined, change: SnapshotChange, options: SnapshotChangeOptions = {}): Snapshot {
  const steps = snapshotChangeSteps(previous, change, options)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** The same in short steps, for those who have something to relay in between. */
export function* snapshotChangeSteps(previous: Snapshot | undefined, change: SnapshotChange, { schedulerOffset = 0, active = noActiveCounts, states = allReady }: SnapshotChangeOptions = {}): Generator<void, Snapshot, void> {
  const kept = change.removedTenants === 'all-others' ? undefined : previous
  const drafts: Drafts = {
    tenants: (kept?.tenants ?? new ShardedMap<TenantPolicy>()).draft(),
    hostnames: (kept?.hostnames ?? new HostnameTable<TenantPolicy>()).draft(),
  }
  const cidrSets = previous?.cidrSets ?? new CidrSetCache()
  const leaving = change.removedTenants === 'all-others' ? [] : [...change.removedTenants, ...change.tenants.map(({ name }) => name)]
  // All go before any comes: a hostname may move from one tenant to another.
  for (const [index, name] of leaving.entries()) {
    if (isStep(index)) yield
    remove(name, drafts)
  }
  for (const [index, spec] of change.tenants.entries()) {
    if (isStep(index)) yield
    // Tenants of one pool begin at different endpoints: its first node must not get everybody's first connection.
    const firstIndex = stableHash(spec.name) + schedulerOffset
    const scheduler = keptScheduler(spec, previous?.tenants.get(spec.name)) ?? createScheduler(spec.scheduler, spec.endpoints, { active, states, firstIndex })
    const policy = tenantPolicy(spec, { scheduler, active }, cidrSets)
    drafts.tenants.set(spec.name, policy)
    for (const pattern of spec.hostnames) drafts.hostnames.add(pattern, policy)
  }
  const tenants = drafts.tenants.done()
  const listeners = new Map(change.listeners.map((spec) => [spec.name, listenerPolicy(spec, tenants, cidrSets)]))
  return {
    version: change.version, listeners, hostnames: drafts.hostnames.done(), tunnelHostnames: new Set(change.tunnelHostnames), tenants, limits: change.limits ?? {}, cidrSets,
  }
}

function isStep(index: number): boolean {
  return index % tenantsPerStep === tenantsPerStep - 1
}

interface Drafts {
  readonly tenants: ShardedMapDraft<TenantPolicy>
  readonly hostnames: HostnameTableDraft<TenantPolicy>
}

function remove(name: string, { tenants, hostnames }: Drafts): void {
  const policy = tenants.get(name)
  if (policy === undefined) return
  tenants.delete(name)
  for (const pattern of policy.hostnames) hostnames.remove(pattern)
}

function listenerPolicy(spec: ListenerSpec, tenants: ShardedMap<TenantPolicy>, cidrSets: CidrSetCache): ListenerPolicy {
  const defaultTenant = spec.defaultTenant === undefined ? undefined : tenants.get(spec.defaultTenant)
  return {
    name: spec.name,
    helloTimeoutMs: spec.helloTimeoutMs,
    ...(defaultTenant === undefined ? {} : { defaultTenant }),
    ...(spec.withoutHello === true ? { withoutHello: true } : {}),
    ...(spec.proxyProtocol === undefined ? {} : { proxyProtocolTrustedSources: cidrSets.setOf(spec.proxyProtocol.trustedSources) }),
    ...limitsOf(spec),
  }
}

function tenantPolicy(spec: TenantSpec, { scheduler, active }: Pick<TenantPolicy, 'scheduler' | 'active'>, cidrSets: CidrSetCache): TenantPolicy {
  return {
    name: spec.name,
    hostnames: spec.hostnames,
    scheduler,
    active,
    attemptsMax: spec.attemptsMax,
    ...(spec.retryBudget === undefined ? {} : { retryBudget: retryBudget(spec.retryBudget) }),
    connectTimeoutMs: spec.connectTimeoutMs,
    answerTimeoutMs: spec.answerTimeoutMs,
    idleTimeoutMs: spec.idleTimeoutMs,
    halfClosedTimeoutMs: spec.halfClosedTimeoutMs,
    drainTimeoutMs: spec.drainTimeoutMs,
    ...(spec.allowedSources === undefined ? {} : { allowedSources: cidrSets.setOf(spec.allowedSources) }),
    ...(spec.mayAnnounce === undefined ? {} : { mayAnnounce: spec.mayAnnounce }),
    ...(spec.sendProxyProtocol === undefined ? {} : { sendProxyProtocol: spec.sendProxyProtocol }),
    ...limitsOf(spec),
  }
}

function limitsOf({ limits, limitRow }: ListenerSpec | TenantSpec): Pick<TenantPolicy, 'limits' | 'limitRow'> {
  return { ...(limits === undefined ? {} : { limits: countedLimits(limits) }), ...(limitRow === undefined ? {} : { limitRow }) }
}

function keptScheduler({ scheduler, endpoints }: TenantSpec, before: TenantPolicy | undefined): Scheduler | undefined {
  return before !== undefined && before.scheduler.kind === scheduler && sameEndpoints(before.scheduler.endpoints, endpoints) ? before.scheduler : undefined
}

function sameEndpoints(left: readonly Endpoint[], right: readonly Endpoint[]): boolean {
  return left.length === right.length && left.every((endpoint, index) => {
    const other = right[index]
    return other !== undefined && endpoint.name === other.name && endpoint.weight === other.weight && endpoint.row === other.row && endpoint.grant === other.grant
  })
}
