// From what is written to what is meant: pools to endpoints, defaults into tenants, and the mistakes that show only between
// keys. Works on whatever parts of a file are well-formed, so that all mistakes are told at once.

import type { Endpoint } from '../core/balance/endpoint.ts'
import { formatSocketAddress, type SocketAddress } from '../core/net/socket-address.ts'
import type { TenantSpec } from '../core/snapshot.ts'
import type { Config, ListenerConfig, Settings } from './config.ts'
import { quote } from './quote.ts'
import type { Path } from './schema-path.ts'
import type { ParsedConfig } from './schema.ts'

/** A mistake at a path of the data, not yet at a line of the file. */
export interface PathProblem {
  readonly path: Path
  readonly message: string
  readonly expected?: string
  /** A name that is not known, and those that are. The nearest is looked for only when the problem is shown: it takes long. */
  readonly unknown?: { readonly name: string; readonly known: readonly string[] }
  /** The place that has it already: with its line, it ends the message. */
  readonly other?: Path
  /** It is about the path's last key, not about its value. */
  readonly key?: boolean
}

type ParsedTenant = ParsedConfig['tenants'][number]
type ParsedListener = ParsedConfig['listeners'][number]

/** The well-formed parts, each list entry with its place in the file's list. Absent: too broken to check against. */
export interface WellFormed {
  readonly listeners: ReadonlyMap<number, ParsedListener>
  readonly tenants: ReadonlyMap<number, ParsedTenant>
  /** What every tenant claims, also those that are otherwise broken. */
  readonly claims: ReadonlyMap<number, TenantClaims>
  readonly pools?: ParsedConfig['pools'] | undefined
  /** False when some tenant is broken: a name that is not found may be that one's. */
  readonly tenantsComplete: boolean
}

export interface TenantClaims {
  readonly name?: string | undefined
  /** Normalised, each with its place in the tenant's list. */
  readonly hostnames: readonly (string | undefined)[]
}

/** Mistakes between keys; empty when `resolve` may follow. */
export function crossProblems({ listeners, tenants, claims, pools, tenantsComplete }: WellFormed): PathProblem[] {
  const tenantNames = new Set([...tenants.values()].map(({ name }) => name))
  const knownTenants = [...tenantNames]
  return [
    ...duplicates('listener address', [...listeners].map(([index, { address }]) => ({ path: ['listeners', index, 'address'], key: listenerKey(address) }))),
    ...[...listeners].flatMap(([index, { defaultTenant }]) =>
      defaultTenant === undefined || tenantNames.has(defaultTenant) || !tenantsComplete ? [] : [unknownName(['listeners', index, 'defaultTenant'], 'tenant', defaultTenant, knownTenants)]),
    ...Object.entries(pools ?? {}).flatMap(([name, { addresses }]) => duplicates('pool address', addresses.map((key, index) => ({ path: ['pools', name, 'addresses', index], key })))),
    ...duplicates('tenant name', [...claims].map(([index, { name }]) => ({ path: ['tenants', index, 'name'], key: name }))),
    ...duplicates('hostname', [...claims].flatMap(([index, { hostnames }]) => hostnames.map((key, at) => ({ path: ['tenants', index, 'hostnames', at], key })))),
    ...[...tenants].flatMap(([index, tenant]) => apiServerProblems(['tenants', index, 'apiServer'], tenant.apiServer, pools)),
  ]
}

/** Port 0 is another port each time; but a listener is called as its address is written, and names must differ. */
function listenerKey({ text, address }: ParsedListener['address']): string {
  return address.port === 0 ? text : formatSocketAddress(address)
}

function unknownName(path: Path, what: 'tenant' | 'pool', name: string, known: readonly string[]): PathProblem {
  return { path, message: `there is no ${what} ${quote(name)}`, expected: `the name of a ${what}`, unknown: { name, known } }
}

interface Claim {
  readonly path: Path
  /** Absent: too broken to claim anything. */
  readonly key: string | undefined
}

function duplicates(what: string, claims: readonly Claim[]): PathProblem[] {
  const first = new Map<string, Path>()
  const problems: PathProblem[] = []
  for (const { path, key } of claims) {
    if (key === undefined) continue
    const before = first.get(key)
    if (before === undefined) first.set(key, path)
    else problems.push({ path, message: `${what} ${key} is claimed by`, other: before, expected: `each ${what} once` })
  }
  return problems
}

function apiServerProblems(path: Path, { pool, nodePort, endpoints }: ParsedTenant['apiServer'], pools: ParsedConfig['pools'] | undefined): PathProblem[] {
  const expected = 'either { pool, nodePort } or { endpoints }'
  if (endpoints !== undefined) {
    if (pool !== undefined || nodePort !== undefined) return [{ path, message: 'both endpoints and a pool or nodePort', expected }]
    return duplicates('endpoint', endpoints.map((endpoint, index) => ({ path: [...path, 'endpoints', index], key: endpointOf(endpoint).name })))
  }
  if (pool === undefined || nodePort === undefined) {
    const message = pool === nodePort ? 'no API server is named' : pool === undefined ? 'a nodePort without a pool' : 'a pool without a nodePort'
    return [{ path, message, expected }]
  }
  if (pools === undefined || Object.hasOwn(pools, pool)) return []
  return [unknownName([...path, 'pool'], 'pool', pool, Object.keys(pools))]
}

/** @param parsed without mistakes, between its keys too */
export function resolve(parsed: ParsedConfig): Config {
  return { ...resolveSettings(parsed), tenants: parsed.tenants.map((tenant) => resolveTenant(tenant, parsed)) }
}

export function resolveSettings(parsed: ParsedConfig): Settings {
  const { hello, drainGrace } = parsed.defaults.timeouts
  return {
    listeners: parsed.listeners.map(resolveListener),
    relay: parsed.relay,
    timeouts: { helloMs: hello, drainGraceMs: drainGrace },
    admin: { address: parsed.admin.address.address },
  }
}

function resolveListener({ address, defaultTenant, proxyProtocol }: ParsedListener): ListenerConfig {
  return {
    name: address.text,
    address: address.address,
    ...(defaultTenant === undefined ? {} : { defaultTenant }),
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
  }
}

/** @param context the rest of the file */
export function resolveTenant(tenant: ParsedTenant, { defaults, pools }: Pick<ParsedConfig, 'defaults' | 'pools'>): TenantSpec {
  const { connect, idle, halfClosed, drain } = defaults.timeouts
  return {
    name: tenant.name,
    hostnames: tenant.hostnames,
    scheduler: tenant.scheduler ?? defaults.scheduler,
    endpoints: endpointsOf(tenant.apiServer, pools),
    connectTimeoutMs: tenant.timeouts?.connect ?? connect,
    idleTimeoutMs: tenant.timeouts?.idle ?? idle,
    halfClosedTimeoutMs: tenant.timeouts?.halfClosed ?? halfClosed,
    drainTimeoutMs: tenant.timeouts?.drain ?? drain,
    attemptsMax: tenant.retries?.attempts ?? defaults.retries.attempts,
    ...(tenant.allowedSources === undefined ? {} : { allowedSources: tenant.allowedSources }),
    ...(tenant.sendProxyProtocol === undefined ? {} : { sendProxyProtocol: tenant.sendProxyProtocol }),
  }
}

function endpointsOf({ pool, nodePort, endpoints }: ParsedTenant['apiServer'], pools: ParsedConfig['pools']): readonly Endpoint[] {
  if (endpoints !== undefined) return endpoints.map(endpointOf)
  const addresses = pools[pool ?? '']?.addresses
  if (addresses === undefined || nodePort === undefined) throw new Error(`bug: pool ${pool} was not checked`)
  return addresses.map((address) => endpointOf({ address, port: nodePort }))
}

function endpointOf(written: SocketAddress | { readonly address: SocketAddress; readonly weight: number }): Endpoint {
  const [at, weight] = 'weight' in written ? [written.address, written.weight] : [written, 1]
  return { name: formatSocketAddress(at), address: at.address, port: at.port, weight }
}
