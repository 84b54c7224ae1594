// What a file's listeners, pools and tenants claim and name, key by key: also where other keys beside them are wrong, so
// that mistakes between keys are told together with those within them.
//
//   well-formed file: the parsed parts are their claims already
//   broken file:      data ─ each key on its own ─▶ value, or `null` where it is written and wrong

import type { z } from 'zod'
import type { SocketAddress } from '../core/net/socket-address.ts'
import { valueAt } from './schema-path.ts'
import { egressSchema, endpointSchema, exactHostname, listenerSchema, poolSchema, tenantSchema, type ParsedConfig } from './schema.ts'

/** Absent: not written. `null`: written, but wrong, which is told already. */
type Claimed<Value> = Value | null | undefined

export interface Claims {
  /** Each entry with its place in the file's list, as for tenants. */
  readonly listeners: ReadonlyMap<number, ListenerClaims>
  readonly tenants: ReadonlyMap<number, TenantClaims>
  /** As they are written, also wrong ones. Absent: not all are known, and one that is not among them may exist. */
  readonly tenantNames?: ReadonlySet<string> | undefined
  /** By name, also of a wrong form. Absent: too broken to say which there are. */
  readonly pools?: Readonly<Record<string, PoolClaims>> | undefined
  /** Normalised, each with its place in the list. */
  readonly tunnelHostnames?: readonly Claimed<string>[]
  readonly egress?: readonly EgressClaims[]
  /** Whether there is a tunnel, however wrong. */
  readonly hasTunnel?: boolean
}

export interface EgressClaims {
  readonly tenant?: Claimed<string>
  readonly socket?: Claimed<string>
  readonly address?: Claimed<ParsedConfig['listeners'][number]['address']>
}

export interface ListenerClaims {
  readonly address?: Claimed<ParsedConfig['listeners'][number]['address']>
  readonly defaultTenant?: Claimed<string>
}

export interface PoolClaims {
  readonly addresses: readonly Claimed<string>[]
}

export interface TenantClaims {
  readonly name?: Claimed<string>
  /** Normalised, each with its place in the tenant's list. */
  readonly hostnames: readonly Claimed<string>[]
  readonly apiServer?: Claimed<ApiServerClaims>
}

export interface ApiServerClaims {
  readonly pool?: Claimed<string>
  readonly nodePort?: Claimed<number>
  readonly endpoints?: Claimed<readonly Claimed<SocketAddress | { readonly address: SocketAddress }>[]>
  /** What seems to be missing may be meant by one of them. @default false */
  readonly hasUnknownKeys?: boolean
}

export function claimsOfParsed({ listeners, tenants, pools, tunnel, egress, state }: ParsedConfig): Claims {
  return { egress, hasTunnel: tunnel !== undefined, tunnelHostnames: tunnel?.hostnames ?? [], listeners: indexed(listeners), tenants: indexed(tenants), tenantNames: state.tenants === true ? undefined : new Set(tenants.map(({ name }) => name)), pools }
}

export function claimsOfBroken(data: unknown): Claims {
  const [listeners, tenants] = [valueAt(data, ['listeners']), valueAt(data, ['tenants'])]
  return {
    listeners: indexed(listOf(listeners).map(listenerClaims)),
    tenants: indexed(listOf(tenants).map(tenantClaims)),
    tenantNames: valueAt(data, ['state', 'tenants']) === true ? undefined : tenantNamesOf(tenants),
    pools: poolClaims(valueAt(data, ['pools'])),
    tunnelHostnames: listOf(valueAt(data, ['tunnel', 'hostnames'])).map((hostname) => claimed(hostname, exactHostname)),
    egress: listOf(valueAt(data, ['egress'])).map(egressClaims),
    hasTunnel: valueAt(data, ['tunnel']) !== undefined,
  }
}

function indexed<Value>(values: readonly Value[]): ReadonlyMap<number, Value> {
  return new Map(values.entries())
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function claimed<Schema extends z.ZodType>(value: unknown, schema: Schema): Claimed<z.output<Schema>> {
  if (value === undefined) return undefined
  const parsed = schema.safeParse(value)
  return parsed.success ? parsed.data : null
}

function listenerClaims(listener: unknown): ListenerClaims {
  const { address, defaultTenant } = listenerSchema.shape
  return { address: claimed(valueAt(listener, ['address']), address), defaultTenant: claimed(valueAt(listener, ['defaultTenant']), defaultTenant) }
}

function egressClaims(entry: unknown): EgressClaims {
  const { tenant, socket, address } = egressSchema.shape
  return { tenant: claimed(valueAt(entry, ['tenant']), tenant), socket: claimed(valueAt(entry, ['socket']), socket), address: claimed(valueAt(entry, ['address']), address) }
}

function tenantClaims(tenant: unknown): TenantClaims {
  const { name, hostnames } = tenantSchema.shape
  return {
    name: claimed(valueAt(tenant, ['name']), name),
    hostnames: listOf(valueAt(tenant, ['hostnames'])).map((hostname) => claimed(hostname, hostnames.element)),
    apiServer: apiServerClaims(valueAt(tenant, ['apiServer'])),
  }
}

function apiServerClaims(apiServer: unknown): Claimed<ApiServerClaims> {
  if (apiServer === undefined) return undefined
  if (typeof apiServer !== 'object' || apiServer === null || Array.isArray(apiServer)) return null
  const { shape } = tenantSchema.shape.apiServer
  const endpoints = valueAt(apiServer, ['endpoints'])
  return {
    pool: claimed(valueAt(apiServer, ['pool']), shape.pool),
    nodePort: claimed(valueAt(apiServer, ['nodePort']), shape.nodePort),
    endpoints: endpoints === undefined || Array.isArray(endpoints) ? endpoints?.map(endpointClaim) : null,
    hasUnknownKeys: Object.keys(apiServer).some((key) => !Object.hasOwn(shape, key)),
  }
}

/** Its address alone: a wrong weight is told already. */
function endpointClaim(endpoint: unknown): Claimed<SocketAddress> {
  return claimed(typeof endpoint === 'object' ? valueAt(endpoint, ['address']) : endpoint, endpointSchema.shape.address)
}

function tenantNamesOf(tenants: unknown): ReadonlySet<string> | undefined {
  const names = new Set<string>()
  if (tenants !== undefined && !Array.isArray(tenants)) return undefined
  for (const tenant of listOf(tenants)) {
    const name = valueAt(tenant, ['name'])
    if (typeof name !== 'string') return undefined
    names.add(name)
  }
  return names
}

function poolClaims(pools: unknown): Claims['pools'] {
  if (pools === undefined) return {}
  if (typeof pools !== 'object' || pools === null || Array.isArray(pools)) return undefined
  const { element } = poolSchema.shape.addresses
  return Object.fromEntries(Object.entries(pools).map(([name, pool]) =>
    [name, { addresses: listOf(valueAt(pool, ['addresses'])).map((address) => claimed(address, element)) }]))
}
