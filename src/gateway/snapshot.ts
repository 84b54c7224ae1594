// From the configuration's plain data to the snapshot that the relay routes with.
//
// What must outlive a reload is carried over here: a scheduler keeps its place as long as the tenant's endpoints are the
// same, so that reloading a file again and again does not send every first connection to the first endpoint.

import type { Config, ListenerConfig, TenantConfig } from '../config/config.ts'
import type { Endpoint } from '../core/balance/endpoint.ts'
import { RoundRobin } from '../core/balance/round-robin.ts'
import type { Scheduler } from '../core/balance/scheduler.ts'
import { CidrSet } from '../core/net/cidr.ts'
import { HostnameTable } from '../core/route/table.ts'
import type { ListenerPolicy, Snapshot, TenantPolicy } from '../core/snapshot.ts'

/** @param previous the running snapshot, at a reload */
export function buildSnapshot(config: Config, previous?: Snapshot): Snapshot {
  const cidrSets = new Map<string, CidrSet>()
  const tenants = new Map<string, TenantPolicy>()
  for (const [index, tenant] of config.tenants.entries()) {
    // Each tenant begins at another endpoint: the first node of a pool must not get everybody's first connection.
    const scheduler = schedulerFor(tenant, index, previous?.tenants.get(tenant.name)?.scheduler)
    tenants.set(tenant.name, tenantPolicy(tenant, scheduler, cidrSets))
  }
  const hostnames = HostnameTable.build(hostnameEntries(config, tenants))
  const listeners = new Map<string, ListenerPolicy>()
  for (const listener of config.listeners) {
    listeners.set(listener.name, listenerPolicy(listener, config.timeouts.helloMs, tenants))
  }
  return { version: (previous?.version ?? 0) + 1, listeners, hostnames, tenants }
}

function* hostnameEntries(
  config: Config,
  tenants: ReadonlyMap<string, TenantPolicy>,
): Generator<{ pattern: string; value: TenantPolicy }> {
  for (const { name, hostnames } of config.tenants) {
    const value = tenants.get(name)
    if (value === undefined) throw new Error(`bug: tenant ${name} has no policy`)
    for (const pattern of hostnames) yield { pattern, value }
  }
}

function listenerPolicy(
  listener: ListenerConfig,
  helloTimeoutMs: number,
  tenants: ReadonlyMap<string, TenantPolicy>,
): ListenerPolicy {
  const defaultTenant = listener.defaultTenant === undefined ? undefined : tenants.get(listener.defaultTenant)
  return {
    name: listener.name,
    helloTimeoutMs,
    ...(defaultTenant === undefined ? {} : { defaultTenant }),
    ...(listener.proxyProtocol === undefined
      ? {}
      : { proxyProtocolTrustedSources: CidrSet.of(listener.proxyProtocol.trustedSources) }),
  }
}

function tenantPolicy(tenant: TenantConfig, scheduler: Scheduler, cidrSets: Map<string, CidrSet>): TenantPolicy {
  return {
    name: tenant.name,
    scheduler,
    attemptsMax: tenant.attemptsMax,
    connectTimeoutMs: tenant.connectTimeoutMs,
    idleTimeoutMs: tenant.idleTimeoutMs,
    halfClosedTimeoutMs: tenant.halfClosedTimeoutMs,
    drainTimeoutMs: tenant.drainTimeoutMs,
    ...(tenant.allowedSources === undefined ? {} : { allowedSources: sharedCidrSet(tenant.allowedSources, cidrSets) }),
    ...(tenant.sendProxyProtocol === undefined ? {} : { sendProxyProtocol: tenant.sendProxyProtocol }),
  }
}

/** Thousands of tenants tend to allow the same few sources: one set serves them all. */
function sharedCidrSet(sources: readonly string[], cidrSets: Map<string, CidrSet>): CidrSet {
  const key = sources.join(' ')
  const known = cidrSets.get(key)
  if (known !== undefined) return known
  const set = CidrSet.of(sources)
  cidrSets.set(key, set)
  return set
}

function schedulerFor(tenant: TenantConfig, firstIndex: number, previous: Scheduler | undefined): Scheduler {
  if (previous !== undefined && previous.kind === tenant.scheduler && sameEndpoints(previous.endpoints, tenant.endpoints)) return previous
  return new RoundRobin(tenant.endpoints, firstIndex)
}

function sameEndpoints(left: readonly Endpoint[], right: readonly Endpoint[]): boolean {
  return left.length === right.length && left.every((endpoint, index) => {
    const other = right[index]
    return other !== undefined && endpoint.name === other.name && endpoint.weight === other.weight
  })
}
