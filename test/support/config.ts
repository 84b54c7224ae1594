// Small configurations for tests that need no YAML.

import { wholeChange } from '../../src/config/change.ts'
import type { ListenerConfig } from '../../src/config/config.ts'
import { noActiveCounts, type ActiveCounts } from '../../src/core/balance/active-counts.ts'
import type { Endpoint } from '../../src/core/balance/endpoint.ts'
import type { ProcessLimits } from '../../src/core/limit/limits.ts'
import type { SocketAddress } from '../../src/core/net/socket-address.ts'
import { applySnapshotChange } from '../../src/core/snapshot-change.ts'
import type { Snapshot, SnapshotChange, TenantSpec } from '../../src/core/snapshot.ts'
import { stableHash } from '../../src/core/stable-hash.ts'

export const listenerName = '127.0.0.1:0'

export function endpoint(port: number, { weight = 1, address = '127.0.0.1', row }: Partial<Pick<Endpoint, 'weight' | 'address' | 'row'>> = {}): Endpoint {
  return { name: `${address}:${port}`, address, port, weight, ...(row === undefined ? {} : { row }) }
}

export function tenant(name: string, endpoints: readonly Endpoint[], overrides: Partial<TenantSpec> = {}): TenantSpec {
  return {
    name,
    hostnames: [`${name}.example.test`],
    scheduler: 'rr',
    endpoints,
    connectTimeoutMs: 3_000,
    answerTimeoutMs: 5_000,
    idleTimeoutMs: 3_600_000,
    halfClosedTimeoutMs: 300_000,
    drainTimeoutMs: 600_000,
    attemptsMax: 3,
    ...overrides,
  }
}

/** The endpoints in an order in which the tenant's first connection goes to the first of them, the next to the second. */
export function inTurn(tenantName: string, endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const first = stableHash(tenantName) % Math.max(1, endpoints.length)
  return [...endpoints.slice(endpoints.length - first), ...endpoints.slice(0, endpoints.length - first)]
}

export function listener(overrides: Partial<ListenerConfig> = {}): ListenerConfig {
  const address: SocketAddress = { address: '127.0.0.1', port: 0 }
  return { name: listenerName, address, ...overrides }
}

interface ChangeOptions {
  readonly tenants: readonly TenantSpec[]
  readonly listeners?: readonly ListenerConfig[]
  readonly tunnelHostnames?: readonly string[]
  readonly helloMs?: number
  readonly limits?: ProcessLimits
  /** @default 1 */
  readonly version?: number
}

/** The first change, which makes a snapshot of nothing; or a later one, that replaces all. */
export function changeOf({ tenants, listeners = [listener()], tunnelHostnames = [], helloMs = 5_000, limits = {}, version = 1 }: ChangeOptions): SnapshotChange {
  const change = wholeChange({
    listeners,
    relay: { driver: 'node', workers: 'auto', warmUpMs: 0, kernelLane: 'off', busyPollUs: 0 },
    timeouts: { helloMs, drainGraceMs: 0 },
    limits,
    tenants,
    egress: [],
    state: { kind: 'file', directory: '/nonexistent' },
    admin: { address: { address: '127.0.0.1', port: 0 } },
  })
  return { version, ...change, tunnelHostnames }
}

export function snapshotOf({ active = noActiveCounts, ...options }: ChangeOptions & { readonly active?: ActiveCounts }): Snapshot {
  return applySnapshotChange(undefined, changeOf(options), { active })
}
