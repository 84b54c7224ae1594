// `sluice explain`: what a name would get, decided by the functions that the relay itself asks.

import { parseArgs } from 'node:util'
import { wholeChange } from '../config/change.ts'
import { ConfigError, formatProblems } from '../config/config-error.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { nearestName } from '../config/nearest.ts'
import type { EjectionSpec } from '../core/balance/ejections.ts'
import type { Endpoint } from '../core/balance/endpoint.ts'
import { schedulerMeanings, type Scheduler, type SchedulerKind } from '../core/balance/scheduler.ts'
import type { HealthSpec } from '../core/health/health-spec.ts'
import { canonicalAddress } from '../core/net/ip-address.ts'
import { sentHeaderText } from '../core/proxy-protocol/sent-header.ts'
import { decideRoute, type RouteDecision } from '../core/route/decide.ts'
import { applySnapshotChange } from '../core/snapshot-change.ts'
import type { ListenerPolicy, Snapshot, TenantPolicy, TenantSpec } from '../core/snapshot.ts'
import { terminationOf } from '../core/termination.ts'
import type { TenantView } from '../gateway/admin/tenant-routes.ts'
import { askAdmin, type AdminPlace } from './explain/admin-client.ts'
import { liveExplanation, type Line } from './explain/live-lines.ts'
import type { CliIo } from './io.ts'

export const usage = `Usage: sluice explain --config FILE [--from IP] [--listener ADDRESS] [--admin WHERE] HOST

Tells which tenant a client gets that asks for HOST, by which rule, and the endpoints that it may reach; or what refuses it
and what the client sees. HOST '' stands for a client that sends no name.

  --config FILE        the configuration
  --from IP            the client's address; needed where the tenant has allowedSources
  --listener ADDRESS   as written in the configuration; default: the first one
  --admin WHERE        also what a running gateway says: its admin.address, as http://127.0.0.1:9443 or https://HOST:PORT, or the path of
                       its admin.socket. With the states and connections that endpoints have, where a client would go now
  --token-file FILE    the gateway's admin.tokenFile, where it has one
  --ca-file FILE       of its certificate, in PEM; default: those that Node has

Exit codes: 0 it would be relayed, 1 it would be refused, 2 wrong configuration or arguments, or no answer from the
gateway.

Examples
  sluice explain --config sluice.yaml acme.k8s.example.com
  sluice explain --config sluice.yaml --from 203.0.113.9 api.globex.k8s.example.com
  sluice explain --config sluice.yaml --admin /run/sluice/admin.sock acme.k8s.example.com
`

export async function explain(args: readonly string[], io: CliIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args], allowPositionals: true, strict: true,
    options: { config: { type: 'string' }, from: { type: 'string' }, listener: { type: 'string' }, admin: { type: 'string' }, 'token-file': { type: 'string' }, 'ca-file': { type: 'string' } },
  })
  const [host] = positionals
  if (values.config === undefined || host === undefined || positionals.length > 1) {
    return wrong(io, '--config FILE and one HOST are needed')
  }
  const from = values.from === undefined ? undefined : canonicalAddress(values.from)
  if (values.from !== undefined && from === undefined) return wrong(io, `--from: ${JSON.stringify(values.from)} is no IP address`)
  let config: Config
  try {
    config = loadConfig({ file: values.config, env: io.env })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    io.stderr.write(formatProblems(error))
    return 2
  }
  const snapshot = applySnapshotChange(undefined, { version: 1, ...wholeChange(config) })
  const listener = values.listener === undefined ? [...snapshot.listeners.values()][0] : snapshot.listeners.get(values.listener)
  if (listener === undefined) return wrong(io, `--listener: there are ${[...snapshot.listeners.keys()].join(', ')}`)
  const { lines, code, tenant } = explanation({ config, snapshot, listener, host, from })
  if (values.admin === undefined || tenant === undefined) {
    io.stdout.write(table(lines))
    return code
  }
  const live = await liveLines(tenant, from, { admin: values.admin, tokenFile: values['token-file'], caFile: values['ca-file'] })
  io.stdout.write(table([...lines, ...live.lines]))
  return live.code ?? code
}

/** @returns no code: it says nothing else than the configuration does */
async function liveLines(tenant: string, from: string | undefined, place: AdminPlace): Promise<{ readonly lines: readonly Line[]; readonly code?: 1 | 2 }> {
  const answer = await askAdmin(place, `/v1/tenants/${encodeURIComponent(tenant)}`).catch((error: unknown) => error instanceof Error ? error.message : String(error))
  if (typeof answer === 'string') return { lines: [['now', `no answer from ${place.admin}: ${answer}`]], code: 2 }
  if (answer.status === 404) return { lines: [['now', `the running gateway has no tenant ${tenant}: its configuration is another one`]], code: 1 }
  if (answer.status !== 200) return { lines: [['now', `${place.admin} does not say: ${errorIn(answer.body)}`]], code: 2 }
  const { lines, refused } = liveExplanation(answer.body as TenantView, from)
  return refused === undefined ? { lines } : { lines: [...lines, ['refused', `${refused}: ${terminationOf(refused).meaning}`], ['client', clientSees(refused)]], code: 1 }
}

function errorIn(body: unknown): string {
  return typeof body === 'object' && body !== null && 'error' in body ? `${String(body.error)}${'expected' in body ? `; expected ${String(body.expected)}` : ''}` : 'its answer is none of a gateway’s'
}

function wrong(io: CliIo, what: string): number {
  io.stderr.write(`sluice explain: ${what}\n\n${usage}`)
  return 2
}

interface Question {
  readonly config: Config
  readonly snapshot: Snapshot
  readonly listener: ListenerPolicy
  readonly host: string
  readonly from: string | undefined
}

interface Explanation {
  readonly lines: readonly Line[]
  readonly code: 0 | 1
  /** That its connection would be relayed to, if its endpoints and limits let it. */
  readonly tenant?: string
}

function explanation({ config, snapshot, listener, host, from }: Question): Explanation {
  // A hello's name is bytes: what is typed here goes the same way.
  const serverName = host === '' ? undefined : Buffer.from(host, 'utf8').toString('latin1')
  const decision = decideRoute(snapshot, listener, serverName, from ?? '')
  const lines: Line[] = [['listener', listener.name]]
  if (listener.proxyProtocolTrustedSources !== undefined) lines.push(['', 'only from proxyProtocol.trustedSources, each with a PROXY header'])
  if (decision.kind === 'tunnel') return { lines: [...lines, ['rule', ruleOf(decision)], ['tunnel', terminationOf('handed-over').meaning]], code: 0 }
  if (decision.tenant !== undefined) lines.push(['tenant', decision.tenant.name], ['rule', ruleOf(decision)])
  const asksSource = from === undefined && decision.tenant?.allowedSources !== undefined
  if (decision.kind === 'refused' && !(decision.reason === 'source-not-allowed' && asksSource)) {
    return { lines: [...lines, ...refusedLines(decision, config, host)], code: 1 }
  }
  const { tenant } = decision
  if (tenant === undefined) throw new Error('bug: a route without a tenant')
  if (asksSource) lines.push(['sources', 'only allowedSources; --from IP tells whether a client is among them'])
  const spec = config.tenants.find(({ name }) => name === tenant.name)
  const ready = tenant.scheduler.endpoints.some(({ weight }) => weight > 0)
  if (!ready) {
    return { lines: [...lines, ...tenantLines(tenant, { spec, from: undefined }), ['refused', `no-endpoint: ${terminationOf('no-endpoint').meaning}`], ['client', clientSees('no-endpoint')]], code: 1 }
  }
  return { lines: [...lines, ...tenantLines(tenant, { spec, from })], code: 0, tenant: tenant.name }
}

function ruleOf({ pattern }: RouteDecision): string {
  if (pattern === undefined) return 'defaultTenant of the listener: the client sends no name'
  return pattern.startsWith('*.') ? `wildcard ${pattern}` : `exact ${pattern}`
}

function refusedLines({ reason, detail }: Extract<RouteDecision, { kind: 'refused' }>, config: Config, host: string): Line[] {
  const nearest = reason === 'unknown-server-name' ? nearestHostname(config, host) : undefined
  return [
    ['refused', `${reason}: ${terminationOf(reason).meaning}`],
    ['why', detail],
    ...(nearest === undefined ? [] : [['nearest', nearest] as const]),
    ['client', clientSees(reason)],
  ]
}

function nearestHostname({ tenants }: Config, host: string): string | undefined {
  return nearestName(host.toLowerCase(), tenants.flatMap(({ hostnames }) => hostnames))
}

function clientSees(reason: Parameters<typeof terminationOf>[0]): string {
  const { alert } = terminationOf(reason)
  return alert === undefined ? 'sees the connection close' : `gets the TLS alert ${alert}, and the connection closes`
}

function tenantLines(tenant: TenantPolicy, { spec, from }: { readonly spec: TenantSpec | undefined; readonly from: string | undefined }): Line[] {
  const { scheduler } = tenant
  const endpoints = scheduler.endpoints.map((endpoint, index): Line => [index === 0 ? 'endpoints' : '', `${endpoint.name}${weightText(endpoint, scheduler.kind)}`])
  return [
    ...endpoints,
    ['scheduler', `${scheduler.kind}: ${schedulerMeanings[scheduler.kind]}`],
    ...(scheduler.kind === 'sh' || scheduler.kind === 'mh' ? [['picks', pickText(scheduler, from)] as const] : []),
    ['health', healthText(spec?.health)],
    ['ejection', ejectionText(spec?.ejection)],
    ['attempts', `${tenant.attemptsMax}, each endpoint once`],
    ['timeouts', `connect ${duration(tenant.connectTimeoutMs)}, answer ${duration(tenant.answerTimeoutMs)}, idle ${duration(tenant.idleTimeoutMs)}, halfClosed ${duration(tenant.halfClosedTimeoutMs)}, drain ${duration(tenant.drainTimeoutMs)}`],
    ...(tenant.sendProxyProtocol === undefined ? [] : [['sends', `a PROXY header, ${sentHeaderText(tenant.sendProxyProtocol)}`] as const]),
  ]
}

function healthText(health: HealthSpec | undefined): string {
  if (health === undefined) return 'none: not checked, and always ready'
  const { kind, intervalMs, timeoutMs, fall, rise, slowStartMs, serverName, caFile } = health
  return `${kind} every ${duration(intervalMs)}, timeout ${duration(timeoutMs)}, fall ${fall}, rise ${rise}, slowStart ${duration(slowStartMs)}${serverName === undefined ? '' : `, serverName ${serverName}`}${caFile === undefined ? '' : `, caFile ${caFile}`}`
}

function ejectionText(ejection: EjectionSpec | undefined): string {
  if (ejection === undefined) return 'none: failed dials alone take no endpoint out'
  const { failures, timeMs, sharePercent } = ejection
  return `for ${duration(timeMs)} after ${failures} failed dials in a row, of all endpoints ${sharePercent} % at the most`
}

function weightText({ weight }: Endpoint, kind: SchedulerKind): string {
  if (weight === 0) return '  quiesced (weight 0)'
  if (weight === 1) return ''
  return `  weight ${weight}${kind === 'rr' || kind === 'lc' ? `, which ${kind} does not ask for` : ''}`
}

/** By the client's address alone. */
function pickText(scheduler: Scheduler, from: string | undefined): string {
  const endpoint = from === undefined ? undefined : scheduler.pick([], from)
  if (endpoint === undefined) return '--from IP tells which endpoint a client gets'
  return `${endpoint.name}${scheduler.kind === 'mh' ? ', unless that has more than its share of connections' : ''}`
}

function duration(ms: number): string {
  for (const [unit, unitMs] of [['h', 3_600_000], ['m', 60_000], ['s', 1_000]] as const) {
    if (ms !== 0 && ms % unitMs === 0) return `${ms / unitMs}${unit}`
  }
  return `${ms}ms`
}

function table(lines: readonly Line[]): string {
  return lines.map(([name, value]) => `${name.padEnd(10)} ${value}\n`).join('')
}
