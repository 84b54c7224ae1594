// `sluice explain`: what a name would get, decided by the functions that the relay itself asks.

import { parseArgs } from 'node:util'
import { wholeChange } from '../config/change.ts'
import { ConfigError, formatProblems } from '../config/config-error.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { nearestName } from '../config/nearest.ts'
import type { Endpoint } from '../core/balance/endpoint.ts'
import { schedulerMeanings, type Scheduler, type SchedulerKind } from '../core/balance/scheduler.ts'
import { canonicalAddress } from '../core/net/ip-address.ts'
import { sentHeaderText } from '../core/proxy-protocol/sent-header.ts'
import { decideRoute, type RouteDecision } from '../core/route/decide.ts'
import { applySnapshotChange } from '../core/snapshot-change.ts'
import type { ListenerPolicy, Snapshot, TenantPolicy } from '../core/snapshot.ts'
import { terminationOf } from '../core/termination.ts'
import type { CliIo } from './io.ts'

export const usage = `Usage: sluice explain --config FILE [--from IP] [--listener ADDRESS] HOST

Tells which tenant a client gets that asks for HOST, by which rule, and the endpoints that it may reach; or what refuses it
and what the client sees. HOST '' stands for a client that sends no name.

  --config FILE        the configuration
  --from IP            the client's address; needed where the tenant has allowedSources
  --listener ADDRESS   as written in the configuration; default: the first one

Exit codes: 0 it would be relayed, 1 it would be refused, 2 wrong configuration or arguments.

Examples
  sluice explain --config sluice.yaml acme.k8s.example.com
  sluice explain --config sluice.yaml --from 203.0.113.9 api.globex.k8s.example.com
`

export async function explain(args: readonly string[], io: CliIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args], allowPositionals: true, strict: true,
    options: { config: { type: 'string' }, from: { type: 'string' }, listener: { type: 'string' } },
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
  const { text, code } = explanation({ config, snapshot, listener, host, from })
  io.stdout.write(text)
  return code
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

function explanation({ config, snapshot, listener, host, from }: Question): { readonly text: string; readonly code: 0 | 1 } {
  // A hello's name is bytes: what is typed here goes the same way.
  const serverName = host === '' ? undefined : Buffer.from(host, 'utf8').toString('latin1')
  const decision = decideRoute(snapshot, listener, serverName, from ?? '')
  const lines: (readonly [string, string])[] = [['listener', listener.name]]
  if (listener.proxyProtocolTrustedSources !== undefined) lines.push(['', 'only from proxyProtocol.trustedSources, each with a PROXY header'])
  if (decision.kind === 'tunnel') return { text: table([...lines, ['rule', ruleOf(decision)], ['tunnel', terminationOf('handed-over').meaning]]), code: 0 }
  if (decision.tenant !== undefined) lines.push(['tenant', decision.tenant.name], ['rule', ruleOf(decision)])
  const asksSource = from === undefined && decision.tenant?.allowedSources !== undefined
  if (decision.kind === 'refused' && !(decision.reason === 'source-not-allowed' && asksSource)) {
    return { text: table([...lines, ...refusedLines(decision, config, host)]), code: 1 }
  }
  const { tenant } = decision
  if (tenant === undefined) throw new Error('bug: a route without a tenant')
  if (asksSource) lines.push(['sources', 'only allowedSources; --from IP tells whether a client is among them'])
  const ready = tenant.scheduler.endpoints.some(({ weight }) => weight > 0)
  if (!ready) {
    return { text: table([...lines, ...tenantLines(tenant, undefined), ['refused', `no-endpoint: ${terminationOf('no-endpoint').meaning}`], ['client', clientSees('no-endpoint')]]), code: 1 }
  }
  return { text: table([...lines, ...tenantLines(tenant, from)]), code: 0 }
}

function ruleOf({ pattern }: RouteDecision): string {
  if (pattern === undefined) return 'defaultTenant of the listener: the client sends no name'
  return pattern.startsWith('*.') ? `wildcard ${pattern}` : `exact ${pattern}`
}

function refusedLines({ reason, detail }: Extract<RouteDecision, { kind: 'refused' }>, config: Config, host: string): (readonly [string, string])[] {
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

function tenantLines(tenant: TenantPolicy, from: string | undefined): (readonly [string, string])[] {
  const { scheduler } = tenant
  const endpoints = scheduler.endpoints.map((endpoint, index): readonly [string, string] => [index === 0 ? 'endpoints' : '', `${endpoint.name}${weightText(endpoint, scheduler.kind)}`])
  return [
    ...endpoints,
    ['scheduler', `${scheduler.kind}: ${schedulerMeanings[scheduler.kind]}`],
    ...(scheduler.kind === 'sh' || scheduler.kind === 'mh' ? [['picks', pickText(scheduler, from)] as const] : []),
    ['attempts', `${tenant.attemptsMax}, each endpoint once`],
    ['timeouts', `connect ${duration(tenant.connectTimeoutMs)}, answer ${duration(tenant.answerTimeoutMs)}, idle ${duration(tenant.idleTimeoutMs)}, halfClosed ${duration(tenant.halfClosedTimeoutMs)}, drain ${duration(tenant.drainTimeoutMs)}`],
    ...(tenant.sendProxyProtocol === undefined ? [] : [['sends', `a PROXY header, ${sentHeaderText(tenant.sendProxyProtocol)}`] as const]),
  ]
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

function table(lines: readonly (readonly [string, string])[]): string {
  return lines.map(([name, value]) => `${name.padEnd(10)} ${value}\n`).join('')
}
