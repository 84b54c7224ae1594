// From what is written to what is meant: pools to endpoints, defaults into tenants, and the mistakes that show only between
// keys. These are looked for in whatever a file claims, also where other keys are wrong, so that all are told at once.

import { endpointAt, type Endpoint } from '../core/balance/endpoint.ts'
import type { ListenerLimits, ProcessLimits, TenantLimits } from '../core/limit/limits.ts'
import { tenantRetries } from '../core/limit/retry-budget.ts'
import type { RateSpec } from '../core/limit/shared-pace.ts'
import { formatSocketAddress, type SocketAddress } from '../core/net/socket-address.ts'
import type { SentProxyHeader } from '../core/proxy-protocol/sent-header.ts'
import type { TenantSpec } from '../core/snapshot.ts'
import type { ApiServerClaims, Claims } from './claims.ts'
import type { AdminConfig, Config, EgressConfig, ListenerConfig, Settings, StateConfig, TunnelConfig } from './config.ts'
import { quote } from './quote.ts'
import type { Path } from './schema-path.ts'
import { stateDefaults, type ParsedConfig } from './schema.ts'

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

/** Mistakes between keys; empty when `resolve` may follow. */
export function crossProblems({ listeners, tenants, tenantNames, pools, tunnelHostnames = [], egress = [], hasTunnel = false }: Claims): PathProblem[] {
  const knownTenants = [...tenantNames ?? []]
  return [
    ...duplicates('listener address', [
      ...[...listeners].map(([index, { address }]) => ({ path: ['listeners', index, 'address'], key: address ? listenerKey(address) : undefined })),
      ...egress.map(({ address }, index) => ({ path: ['egress', index, 'address'], key: address ? listenerKey(address) : undefined })),
    ]),
    ...duplicates('socket', egress.map(({ socket }, index) => ({ path: ['egress', index, 'socket'], key: socket }))),
    ...(egress.length > 0 && !hasTunnel ? [{ path: ['egress'], message: 'an egress without a tunnel', expected: 'tunnel, whose agents dial' }] : []),
    ...egress.flatMap(({ tenant }, index) =>
      typeof tenant !== 'string' || tenantNames === undefined || tenantNames.has(tenant) ? [] : [unknownName(['egress', index, 'tenant'], 'tenant', tenant, knownTenants)]),
    ...[...listeners].flatMap(([index, { defaultTenant }]) =>
      typeof defaultTenant !== 'string' || tenantNames === undefined || tenantNames.has(defaultTenant) ? [] : [unknownName(['listeners', index, 'defaultTenant'], 'tenant', defaultTenant, knownTenants)]),
    ...Object.entries(pools ?? {}).flatMap(([name, { addresses }]) => duplicates('pool address', addresses.map((key, index) => ({ path: ['pools', name, 'addresses', index], key })))),
    ...duplicates('tenant name', [...tenants].map(([index, { name }]) => ({ path: ['tenants', index, 'name'], key: name }))),
    ...duplicates('hostname', [
      ...tunnelHostnames.map((key, at) => ({ path: ['tunnel', 'hostnames', at], key })),
      ...[...tenants].flatMap(([index, { hostnames }]) => hostnames.map((key, at) => ({ path: ['tenants', index, 'hostnames', at], key }))),
    ]),
    ...[...tenants].flatMap(([index, { apiServer }]) => apiServer ? apiServerProblems(['tenants', index, 'apiServer'], apiServer, pools) : []),
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
  /** Absent or null: it claims nothing. */
  readonly key: string | null | undefined
}

function duplicates(what: string, claims: readonly Claim[]): PathProblem[] {
  const first = new Map<string, Path>()
  const problems: PathProblem[] = []
  for (const { path, key } of claims) {
    if (key === undefined || key === null) continue
    const before = first.get(key)
    if (before === undefined) first.set(key, path)
    else problems.push({ path, message: `${what} ${key} is claimed by`, other: before, expected: `each ${what} once` })
  }
  return problems
}

function apiServerProblems(path: Path, apiServer: ApiServerClaims, pools: Claims['pools']): PathProblem[] {
  const { pool, endpoints } = apiServer
  const message = apiServerKeysProblem(apiServer)
  return [
    ...message === undefined ? [] : [{ path, message, expected: 'either { pool, nodePort } or { endpoints }' }],
    ...duplicates('endpoint', (endpoints ?? []).map((endpoint, index) => ({ path: [...path, 'endpoints', index], key: endpoint ? endpointName(endpoint) : undefined }))),
    ...typeof pool !== 'string' || pools === undefined || Object.hasOwn(pools, pool) ? [] : [unknownName([...path, 'pool'], 'pool', pool, Object.keys(pools))],
  ]
}

/** Which keys are there, whatever their values. */
function apiServerKeysProblem({ pool, nodePort, endpoints, hasUnknownKeys }: ApiServerClaims): string | undefined {
  const [hasPool, hasNodePort] = [pool !== undefined, nodePort !== undefined]
  if (endpoints !== undefined) return hasPool || hasNodePort ? 'both endpoints and a pool or nodePort' : undefined
  if (hasUnknownKeys === true || (hasPool && hasNodePort)) return undefined
  return hasPool ? 'a pool without a nodePort' : hasNodePort ? 'a nodePort without a pool' : 'no API server is named'
}

function endpointName(claim: SocketAddress | { readonly address: SocketAddress }): string {
  return formatSocketAddress('port' in claim ? claim : claim.address)
}

/** @param parsed without mistakes, between its keys too */
export function resolve(parsed: ParsedConfig): Config {
  return { ...resolveSettings(parsed), tenants: parsed.tenants.map((tenant) => resolveTenant(tenant, parsed)) }
}

export function resolveSettings(parsed: ParsedConfig): Settings {
  const { hello, drainGrace } = parsed.defaults.timeouts
  const { warmUp, busyPoll, ...relay } = parsed.relay
  return {
    listeners: parsed.listeners.map(resolveListener),
    relay: { ...relay, warmUpMs: warmUp, busyPollUs: busyPoll },
    timeouts: { helloMs: hello, drainGraceMs: drainGrace },
    limits: processLimits(parsed.defaults.limits),
    ...(parsed.tunnel === undefined ? {} : { tunnel: tunnelConfig(parsed.tunnel) }),
    egress: parsed.egress.map(egressConfig),
    state: stateConfig(parsed.state),
    admin: adminConfig(parsed.admin),
  }
}

function adminConfig({ address, socket, certificate, tokenFile }: ParsedConfig['admin']): AdminConfig {
  return { address: address.address, ...written({ socket, certificate, tokenFile }) }
}

function tunnelConfig({ clientCaFile, peerAddress, ...tunnel }: NonNullable<ParsedConfig['tunnel']>): TunnelConfig {
  return { ...tunnel, ...(clientCaFile === undefined ? {} : { clientCaFile }), ...(peerAddress === undefined ? {} : { peerAddress }) }
}

function stateConfig({ kind, directory, endpoints, prefix, caFile, certFile, keyFile, username, passwordFile, tenants }: ParsedConfig['state']): StateConfig {
  if (kind === 'file') return { kind, directory: directory ?? stateDefaults.directory }
  if (endpoints === undefined) throw new Error('bug: an etcd whose keys were not checked')
  return {
    kind, endpoints, prefix: prefix ?? stateDefaults.prefix,
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined || keyFile === undefined ? {} : { certificate: { certFile, keyFile } }),
    ...(username === undefined || passwordFile === undefined ? {} : { user: { name: username, passwordFile } }),
    ...(tenants === undefined ? {} : { tenants }),
  }
}

function egressConfig({ tenant, socket, address, certificate, clientCaFile }: ParsedConfig['egress'][number]): EgressConfig {
  if (tenant !== undefined && socket !== undefined) return { kind: 'socket', tenant, path: socket }
  if (address === undefined || certificate === undefined || clientCaFile === undefined) throw new Error('bug: an egress whose keys were not checked')
  return { kind: 'tls', address: address.address, certificate, clientCaFile }
}

function resolveListener({ address, defaultTenant, proxyProtocol, limits }: ParsedListener): ListenerConfig {
  return {
    name: address.text,
    address: address.address,
    ...(defaultTenant === undefined ? {} : { defaultTenant }),
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
    ...(limits === undefined ? {} : { limits: listenerLimits(limits) }),
  }
}

function rate(perSecond: number | undefined, burst: number | undefined): RateSpec | undefined {
  return perSecond === undefined ? undefined : { perSecond, burst: burst ?? perSecond }
}

function processLimits({ processConnections, processConnectionsPerSecond, processConnectionsBurst, helloConnections }: ParsedConfig['defaults']['limits']): ProcessLimits {
  return written({ connectionsMax: processConnections, helloConnectionsMax: helloConnections, rate: rate(processConnectionsPerSecond, processConnectionsBurst) })
}

function listenerLimits(limits: NonNullable<ParsedListener['limits']>): ListenerLimits {
  const { connections, connectionsPerSource, connectionsPerSecond, connectionsBurst, connectionsPerSourcePerSecond, connectionsPerSourceBurst, connectionsPerSourceExcess } = limits
  return written({
    connectionsMax: connections, connectionsPerSourceMax: connectionsPerSource,
    rate: rate(connectionsPerSecond, connectionsBurst), sourceRate: rate(connectionsPerSourcePerSecond, connectionsPerSourceBurst), sourceExcess: connectionsPerSourceExcess,
  })
}

/** A rate is overridden with its burst. */
function tenantLimits(own: NonNullable<ParsedTenant['limits']>, defaults: ParsedConfig['defaults']['limits']): TenantLimits {
  const perSecond = own.connectionsPerSecond
  return written({
    connectionsMax: limit(own.connections ?? defaults.connections),
    connectionsPerSourceMax: limit(own.connectionsPerSource ?? defaults.connectionsPerSource),
    rate: perSecond === undefined ? rate(defaults.connectionsPerSecond, defaults.connectionsBurst) : rate(limit(perSecond), own.connectionsBurst),
  })
}

function limit(value: number | 'none' | undefined): number | undefined {
  return value === 'none' ? undefined : value
}

/** Without the keys that have no value. */
function written<Limits extends object>(limits: { readonly [Key in keyof Limits]: Limits[Key] | undefined }): Limits {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)) as Limits
}

/** @param context the rest of the file */
export function resolveTenant(tenant: ParsedTenant, { defaults, pools }: Pick<ParsedConfig, 'defaults' | 'pools'>): TenantSpec {
  const { connect, answer, idle, halfClosed, drain } = defaults.timeouts
  const mayAnnounce = tenant.reverse?.mayAnnounce ?? defaults.reverse.mayAnnounce
  const limits = tenantLimits(tenant.limits ?? {}, defaults.limits)
  return {
    name: tenant.name,
    hostnames: tenant.hostnames,
    scheduler: tenant.scheduler ?? defaults.scheduler,
    endpoints: endpointsOf(tenant.apiServer, pools),
    connectTimeoutMs: tenant.timeouts?.connect ?? connect,
    answerTimeoutMs: tenant.timeouts?.answer ?? answer,
    idleTimeoutMs: tenant.timeouts?.idle ?? idle,
    halfClosedTimeoutMs: tenant.timeouts?.halfClosed ?? halfClosed,
    drainTimeoutMs: tenant.timeouts?.drain ?? drain,
    attemptsMax: tenant.retries?.attempts ?? defaults.retries.attempts,
    retryBudget: { percent: tenant.retries?.budgetPercent ?? defaults.retries.budgetPercent, ...tenantRetries },
    ...healthOf(tenant, defaults.health),
    ...ejectionOf(tenant, defaults.ejection),
    ...(tenant.allowedSources === undefined ? {} : { allowedSources: tenant.allowedSources }),
    ...(mayAnnounce === undefined ? {} : { mayAnnounce }),
    ...(tenant.sendProxyProtocol === undefined ? {} : { sendProxyProtocol: sentHeader(tenant.sendProxyProtocol) }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  }
}

function sentHeader(written: NonNullable<ParsedTenant['sendProxyProtocol']>): SentProxyHeader {
  return typeof written === 'object' ? written : written === 'v1' ? { version: 'v1' } : { version: 'v2', tlvs: [] }
}

function healthOf({ health: own = {}, sendProxyProtocol }: ParsedTenant, defaults: ParsedConfig['defaults']['health']): Pick<TenantSpec, 'health'> {
  const kind = own.kind ?? defaults.kind
  if (kind === 'none') return {}
  // Of kind tcp nobody is asked for a name: tenants with other names still share a check.
  const { serverName, caFile } = kind === 'tcp' ? {} : { serverName: own.serverName ?? defaults.serverName, caFile: own.caFile ?? defaults.caFile }
  return {
    health: {
      kind,
      intervalMs: own.interval ?? defaults.interval,
      timeoutMs: own.timeout ?? defaults.timeout,
      fall: own.fall ?? defaults.fall,
      rise: own.rise ?? defaults.rise,
      slowStartMs: own.slowStart ?? defaults.slowStart,
      ...(serverName === undefined ? {} : { serverName }),
      ...(caFile === undefined ? {} : { caFile }),
      ...(sendProxyProtocol === undefined ? {} : { sendsProxyHeader: sentHeader(sendProxyProtocol).version }),
    },
  }
}

function ejectionOf({ ejection: own = {} }: ParsedTenant, defaults: ParsedConfig['defaults']['ejection']): Pick<TenantSpec, 'ejection'> {
  const failures = own.failures ?? defaults.failures
  return failures === 0 ? {} : { ejection: { failures, timeMs: own.time ?? defaults.time, sharePercent: own.sharePercent ?? defaults.sharePercent } }
}

function endpointsOf({ pool, nodePort, endpoints }: ParsedTenant['apiServer'], pools: ParsedConfig['pools']): readonly Endpoint[] {
  if (endpoints !== undefined) return endpoints.map(endpointOf)
  const addresses = pools[pool ?? '']?.addresses
  if (addresses === undefined || nodePort === undefined) throw new Error(`bug: pool ${pool} was not checked`)
  return addresses.map((address) => endpointOf({ address, port: nodePort }))
}

function endpointOf(written: SocketAddress | { readonly address: SocketAddress; readonly weight: number }): Endpoint {
  return 'weight' in written ? endpointAt(written.address, written.weight) : endpointAt(written, 1)
}
