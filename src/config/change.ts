// From one configuration to the next: what the relay must be told.

import { ShardedMap } from '../core/sharded-map.ts'
import type { ListenerSpec, SnapshotChange, TenantSpec } from '../core/snapshot.ts'
import type { LoadedConfig } from './config-loader.ts'
import type { Config, Settings } from './config.ts'

/** Who publishes it knows the version. */
export type ConfigChange = Omit<SnapshotChange, 'version'>

/** The configuration as a change of whatever there was before. */
export function wholeChange({ tenants, ...settings }: Config): ConfigChange {
  return { listeners: listenerSpecs(settings), ...tunnelHostnames(settings), limits: settings.limits, tenants, removedTenants: 'all-others' }
}

/** @param running undefined: whatever it is */
export function changeSince(running: ShardedMap<TenantSpec> | undefined, { settings, tenants }: LoadedConfig): ConfigChange {
  const changed: TenantSpec[] = []
  const removed: string[] = []
  for (const { key, before, after } of tenants.changesSince(running ?? new ShardedMap())) {
    if (after === undefined) removed.push(key)
    else if (!isSame(before, after)) changed.push(after)
  }
  return { listeners: listenerSpecs(settings), ...tunnelHostnames(settings), limits: settings.limits, tenants: changed, removedTenants: running === undefined ? 'all-others' : removed }
}

/** As `isDeepStrictEqual` has it of plain data, which takes ten times as long. */
function isSame(left: unknown, right: unknown): boolean {
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return Object.is(left, right)
  if (Array.isArray(left) !== Array.isArray(right)) return false
  const keys = Object.keys(left)
  return keys.length === Object.keys(right).length && keys.every((key) => Object.hasOwn(right, key) && isSame(Reflect.get(left, key), Reflect.get(right, key)))
}

export function tunnelHostnames({ tunnel }: Settings): Pick<SnapshotChange, 'tunnelHostnames'> {
  return tunnel === undefined ? {} : { tunnelHostnames: tunnel.hostnames }
}

export function listenerSpecs({ listeners, timeouts }: Settings): readonly ListenerSpec[] {
  return listeners.map(({ name, defaultTenant, proxyProtocol, limits }) => ({
    name,
    helloTimeoutMs: timeouts.helloMs,
    ...(defaultTenant === undefined ? {} : { defaultTenant }),
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
    ...(limits === undefined ? {} : { limits }),
  }))
}
