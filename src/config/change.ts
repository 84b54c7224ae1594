// From the configuration to what the relay is told.

import type { ListenerSpec, SnapshotChange } from '../core/snapshot.ts'
import type { Config } from './config.ts'

/** The configuration as a change of whatever there was before. */
export function wholeChange(config: Config, version: number): SnapshotChange {
  return { version, listeners: listenerSpecs(config), tenants: config.tenants, removedTenants: 'all-others' }
}

export function listenerSpecs({ listeners, timeouts }: Pick<Config, 'listeners' | 'timeouts'>): readonly ListenerSpec[] {
  return listeners.map(({ name, defaultTenant, proxyProtocol }) => ({
    name,
    helloTimeoutMs: timeouts.helloMs,
    ...(defaultTenant === undefined ? {} : { defaultTenant }),
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
  }))
}
