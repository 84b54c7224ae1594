// Small configurations for tests that need no YAML.

import type { Config, ListenerConfig, TenantConfig } from '../../src/config/config.ts'
import type { Endpoint } from '../../src/core/balance/endpoint.ts'
import type { SocketAddress } from '../../src/core/net/socket-address.ts'
import type { Snapshot } from '../../src/core/snapshot.ts'
import { buildSnapshot } from '../../src/gateway/snapshot.ts'

export const listenerName = '127.0.0.1:0'

export function endpoint(port: number, { weight = 1, address = '127.0.0.1' } = {}): Endpoint {
  return { name: `${address}:${port}`, address, port, weight }
}

export function tenant(name: string, endpoints: readonly Endpoint[], overrides: Partial<TenantConfig> = {}): TenantConfig {
  return {
    name,
    hostnames: [`${name}.example.test`],
    scheduler: 'rr',
    endpoints,
    connectTimeoutMs: 3_000,
    idleTimeoutMs: 3_600_000,
    halfClosedTimeoutMs: 300_000,
    drainTimeoutMs: 600_000,
    attemptsMax: 3,
    ...overrides,
  }
}

export function listener(overrides: Partial<ListenerConfig> = {}): ListenerConfig {
  const address: SocketAddress = { address: '127.0.0.1', port: 0 }
  return { name: listenerName, address, ...overrides }
}

interface SnapshotOptions {
  readonly tenants: readonly TenantConfig[]
  readonly listeners?: readonly ListenerConfig[]
  readonly helloMs?: number
  readonly previous?: Snapshot
}

export function snapshotOf({ tenants, listeners = [listener()], helloMs = 5_000, previous }: SnapshotOptions): Snapshot {
  const config: Config = {
    listeners,
    relay: { driver: 'node' },
    timeouts: { helloMs, drainGraceMs: 0 },
    tenants,
    admin: { address: { address: '127.0.0.1', port: 0 } },
  }
  return buildSnapshot(config, previous)
}
