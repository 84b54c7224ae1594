// What the demo shows, step by step: each step is one connection, what should come of it, and what did.
//
//   right tenant by name ─ client certificates ─ failover ─ refusals ─ reload under an open watch ─ a bad file

import { setTimeout as delay } from 'node:timers/promises'
import { call, callWithoutTls, heartbeatCall, HeartbeatWatch, type Exchange, type HttpsCall, type Outcome } from './client.ts'
import type { AccessLogLine, DemoGateway } from './gateway.ts'
import { addedHostname, hostnameOf, loopback, withAddedHostname, withMisspeltKey, type TenantName } from './layout.ts'
import type { Tenant } from './tenant.ts'

const beatIntervalMs = 1_000

/** One row of the report. */
export interface Step {
  readonly request: string
  readonly exchange: Exchange
  readonly accessLog: AccessLogLine | undefined
  /** Came out as it should. */
  readonly asExpected: boolean
}

export type StoryEvent =
  | { readonly kind: 'chapter'; readonly text: string }
  | { readonly kind: 'step'; readonly step: Step }
  | { readonly kind: 'note'; readonly text: string; readonly asExpected: boolean }

type Expected =
  | { readonly kind: 'answered'; readonly by: Tenant; readonly status: number }
  | { readonly kind: 'alert'; readonly alert: string }
  | { readonly kind: 'closed' }

/** A kubectl-like client that stays connected, and another that writes what it watches. */
export class Heartbeat {
  readonly watch: HeartbeatWatch
  readonly #base: Omit<HttpsCall, 'path'>
  readonly #stopped = new AbortController()
  readonly #beating: Promise<void>
  #beats = 0
  #fault: string | undefined

  private constructor(base: Omit<HttpsCall, 'path'>, watch: HeartbeatWatch) {
    this.#base = base
    this.watch = watch
    this.#beating = this.#beat()
  }

  static async start(base: Omit<HttpsCall, 'path'>): Promise<Heartbeat> {
    return new Heartbeat(base, await HeartbeatWatch.open(base))
  }

  get beats(): number {
    return this.#beats
  }

  get fault(): string | undefined {
    return this.#fault ?? this.watch.fault
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#beating
    this.watch.close()
  }

  async #beat(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      const { outcome } = await call({ ...this.#base, ...heartbeatCall(this.#beats + 1) })
      const written = outcome.kind === 'answered' && (outcome.status === 200 || outcome.status === 201)
      if (written) this.#beats += 1
      else this.#fault ??= `beat ${this.#beats + 1} was not written: ${outcomeText(outcome)}`
      await delay(beatIntervalMs, undefined, { signal }).catch(ignoreAbort)
    }
  }
}

/** Its end is asked for by the loop's condition. */
function ignoreAbort(): void {}

export async function* tellStory({ gateway, tenants, heartbeat, signal }: {
  gateway: DemoGateway
  tenants: Readonly<Record<TenantName, Tenant>>
  heartbeat: Heartbeat
  signal: AbortSignal
}): AsyncGenerator<StoryEvent, void> {
  const { port: gatewayPort } = gateway
  const trusted = Object.values(tenants)
  const settle = async (request: string, exchange: Exchange, expected: Expected): Promise<StoryEvent> => {
    const accessLog = exchange.clientPort === undefined ? undefined : await gateway.accessLogLine(exchange.clientPort)
    return { kind: 'step', step: { request, exchange, accessLog, asExpected: isExpected(exchange.outcome, expected) } }
  }
  const ask = async (request: string, options: Pick<HttpsCall, 'serverName' | 'path' | 'client'>, expected: Expected): Promise<StoryEvent> =>
    await settle(request, await call({ gatewayPort, trusted, ...options }), expected)
  const version = async (serverName: string, expected: Expected): Promise<StoryEvent> =>
    await ask(`https://${serverName}/version`, { serverName, path: '/version' }, expected)
  const unrecognized: Expected = { kind: 'alert', alert: 'unrecognized_name (112)' }

  yield { kind: 'chapter', text: 'Each name reaches its own API server, whose certificate proves it' }
  for (const tenant of trusted) yield await version(tenant.hostname, { kind: 'answered', by: tenant, status: 200 })
  const path = '/api/v1/namespaces/default'
  yield await ask(`https://acme…${path}, acme-admin`, { serverName: tenants.acme.hostname, path, client: tenants.acme }, {
    kind: 'answered',
    by: tenants.acme,
    status: 200,
  })
  yield await ask('the same client certificate, shown to globex', { serverName: tenants.globex.hostname, path, client: tenants.acme }, {
    kind: 'answered',
    by: tenants.globex,
    status: 401,
  })

  yield { kind: 'chapter', text: 'What leads nowhere is refused in words that clients understand' }
  yield await version(hostnameOf('unknown'), unrecognized)
  yield await ask('/version, naming nobody', { serverName: undefined, path: '/version' }, unrecognized)
  yield await version(hostnameOf('hooli'), { kind: 'alert', alert: 'access_denied (49)' })
  yield await settle('plain HTTP to the TLS port', await callWithoutTls(gatewayPort), { kind: 'closed' })

  yield { kind: 'chapter', text: 'The configuration changes while a watch of acme is open' }
  yield await version(addedHostname, unrecognized)
  const original = await gateway.config()
  const eventsBefore = heartbeat.watch.events
  const snapshot = await gateway.saveAndAwaitReload(withAddedHostname(original), signal)
  yield { kind: 'note', text: `saved ${gateway.configFile}: initech has one hostname more, snapshot ${snapshot}`, asExpected: true }
  yield await version(addedHostname, { kind: 'answered', by: tenants.initech, status: 200 })
  const complaint = await gateway.saveAndAwaitComplaint(withMisspeltKey(original), signal)
  yield { kind: 'note', text: `saved it with a mistake: the gateway goes on as before, and says ${complaint}`, asExpected: true }
  yield await version(addedHostname, { kind: 'answered', by: tenants.initech, status: 200 })
  await gateway.saveAndAwaitReload(withAddedHostname(original), signal)
  const events = heartbeat.watch.events - eventsBefore
  yield {
    kind: 'note',
    text: `the watch: still the same connection, ${events} events meanwhile, ${heartbeat.fault ?? 'none missing'}`,
    asExpected: heartbeat.fault === undefined && events > 0,
  }
}

/** What acme's node does: it dials an address, and names nobody. */
export async function* tellTunnelStory({ agentPort, tenants }: {
  agentPort: number
  tenants: Readonly<Record<TenantName, Tenant>>
}): AsyncGenerator<StoryEvent, void> {
  const base = { gatewayPort: agentPort, serverName: undefined, trusted: Object.values(tenants) }
  const ask = async (request: string, options: Pick<HttpsCall, 'path' | 'client'>): Promise<StoryEvent> => {
    const exchange = await call({ ...base, ...options })
    return { kind: 'step', step: { request, exchange, accessLog: undefined, asExpected: isExpected(exchange.outcome, { kind: 'answered', by: tenants.acme, status: 200 }) } }
  }
  yield await ask(`https://${loopback}:${agentPort}/version`, { path: '/version' })
  yield await ask('namespace default, acme-admin, the same way', { path: '/api/v1/namespaces/default', client: tenants.acme })
}

function isExpected(outcome: Outcome, expected: Expected): boolean {
  switch (expected.kind) {
    case 'answered':
      return outcome.kind === 'answered' && outcome.signedBy === expected.by.caName && outcome.status === expected.status
    case 'alert': return outcome.kind === 'alert' && outcome.alert === expected.alert
    case 'closed': return outcome.kind === 'closed'
    default: return expected satisfies never
  }
}

export function outcomeText(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'answered': return `${outcome.status}`
    case 'alert': return `TLS alert ${outcome.alert}`
    case 'closed': return 'closed, no answer'
    case 'failed': return outcome.message
    default: return outcome satisfies never
  }
}
