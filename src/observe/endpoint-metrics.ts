// Endpoints in metrics and log: how many are in which state, what checks found, and a line for each that changes.
//
// An address that falls as a whole gives one line. Labels are our own unions: with 25,000 tenants a series for each endpoint is for
// the admin API to tell.

import { Counter, Gauge, type Registry } from 'prom-client'
import { dialNewsKinds, type DialNewsKind } from '../core/balance/dial-news.ts'
import type { EjectionNews, EndpointFigures, PanicNews, TenantEndpointName } from '../core/balance/endpoint-register.ts'
import { healthKinds, type HealthKind } from '../core/health/health-spec.ts'
import { checkResults, type CheckResultKind } from '../core/health/prober.ts'
import { LineBudget } from './line-budget.ts'
import type { Logger } from './log.ts'

const lineLimits = { linesPerSecond: 5, linesBurst: 50 } as const
/** Of one address, in one piece of news; more of them share a line. */
const linesOfAddressMax = 3
/** That such a line names. */
const endpointsNamedMax = 5

export const transitionCauses = ['checks', 'node'] as const

export interface EndpointTransition {
  readonly endpoint: string
  readonly address: string
  readonly tenants: number
  readonly to: 'ready' | 'down'
  readonly cause: (typeof transitionCauses)[number]
  readonly why: string
}

type LineKind = 'ready' | 'down' | 'panic' | 'ejected' | 'readmitted'

export interface EndpointMetricsOptions {
  readonly registry: Registry
  readonly logger: Logger
  readonly figures: () => EndpointFigures
  readonly checks: () => { readonly unchecked: number; readonly waiting: number }
}

export class EndpointMetrics {
  readonly #logger: Logger
  readonly #lines = new LineBudget<LineKind>(lineLimits)
  readonly #checks: Counter<'kind' | 'result'>
  readonly #transitions: Counter<'to' | 'cause'>
  readonly #clients: Counter<'how'>
  readonly #ejections: Counter
  readonly #ejectionsRefused: Counter
  readonly #restarts: Counter
  readonly #suppressed: Counter

  constructor({ registry, logger, figures, checks }: EndpointMetricsOptions) {
    this.#logger = logger
    const registers = [registry]
    const endpoints: Gauge<'state'> = new Gauge({
      name: 'sluice_endpoints', help: 'Endpoints of tenants, each of each, by state', labelNames: ['state'], registers,
      collect: () => {
        const { ready, draining, down } = figures()
        for (const [state, count] of Object.entries({ ready, draining, down })) endpoints.set({ state }, count)
      },
    })
    const gauge = (name: string, help: string, read: () => number): void => {
      const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(read()) })
    }
    gauge('sluice_endpoints_starting_slowly', 'Of those that are ready, those that have only a part of their weight yet', () => figures().startingSlowly)
    gauge('sluice_endpoints_ejected', 'Of those that are down, those that were ejected for failed dials of clients', () => figures().ejected)
    gauge('sluice_endpoint_targets', 'Addresses with a port, each once for each way in which it is checked', () => figures().targets)
    gauge('sluice_endpoint_targets_unchecked', 'Of these, those that were too many to be checked', () => checks().unchecked)
    gauge('sluice_endpoint_checks_waiting', 'Checks with TLS that are due and wait for others of that kind to end', () => checks().waiting)
    gauge('sluice_tenants_in_panic', 'Tenants whose endpoints are all down by their checks: each is tried all the same', () => figures().tenantsInPanic)
    this.#checks = new Counter({ name: 'sluice_endpoint_checks_total', help: 'Checks of endpoints, by what they found; void: not made, for reasons of our own', labelNames: ['kind', 'result'], registers })
    this.#transitions = new Counter({ name: 'sluice_endpoint_transitions_total', help: 'Addresses with a port that came up or went down, by their own checks or with all of their node', labelNames: ['to', 'cause'], registers })
    this.#clients = new Counter({ name: 'sluice_endpoint_client_marks_total', help: 'Times that clients’ connections failed at an endpoint, at its dial or for want of an answer, or reached one that is down or ejected', labelNames: ['how'], registers })
    this.#ejections = new Counter({ name: 'sluice_endpoint_ejections_total', help: 'Times that an endpoint of a tenant was ejected for failed dials of clients', registers })
    this.#ejectionsRefused = new Counter({ name: 'sluice_endpoint_ejections_refused_total', help: 'Looks, of 20 a second, that found dials failing at an endpoint which would have been ejected for it, had not too many of its tenant been out; of tenants with several endpoints', registers })
    this.#restarts = new Counter({ name: 'sluice_health_thread_restarts_total', help: 'Times that the thread which checks has died and was replaced', registers })
    this.#suppressed = new Counter({ name: 'sluice_endpoint_lines_suppressed_total', help: 'Lines about endpoints that were over their budget', registers })
    for (const how of dialNewsKinds) this.#clients.inc({ how }, 0)
    for (const kind of healthKinds) for (const result of checkResults) this.#checks.inc({ kind, result }, 0)
    for (const to of ['ready', 'down']) for (const cause of transitionCauses) this.#transitions.inc({ to, cause }, 0)
  }

  checksMade(kind: HealthKind, result: CheckResultKind, count: number): void {
    this.#checks.inc({ kind, result }, count)
  }

  clients(how: DialNewsKind, count: number): void {
    this.#clients.inc({ how }, count)
  }

  ejected({ began, refused }: EjectionNews): void {
    this.#ejectionsRefused.inc(refused)
    this.#ejections.inc(began.length)
    for (const each of began) this.#limited('ejected', () => this.#logger.warn({ ...each }, 'endpoint ejected: dials of clients failed there in a row'))
  }

  readmitted(endpoints: readonly TenantEndpointName[]): void {
    for (const each of endpoints) this.#limited('readmitted', () => this.#logger.info({ ...each }, 'an endpoint that was ejected is tried again'))
  }

  threadDied(error: Error): void {
    this.#restarts.inc()
    this.#logger.error({ error: error.message }, 'the thread that checks endpoints died: states stay as they are, and another takes its place')
  }

  /** Of one moment. */
  changed(transitions: readonly EndpointTransition[]): void {
    const groups = new Map<string, EndpointTransition[]>()
    for (const each of transitions) {
      this.#transitions.inc({ to: each.to, cause: each.cause })
      const key = `${each.to} ${each.address}`
      const group = groups.get(key)
      if (group === undefined) groups.set(key, [each])
      else group.push(each)
    }
    for (const group of groups.values()) {
      if (group.length <= linesOfAddressMax) for (const { endpoint, tenants, to, why } of group) this.#told(to, { endpoint, tenants, why })
      else this.#toldTogether(group)
    }
  }

  panic({ began, ended }: PanicNews): void {
    if (began.count > 0) this.#limited('panic', () => this.#logger.error({ ...began }, 'all endpoints of these tenants are down by their checks: each is tried all the same'))
    if (ended.count > 0) this.#limited('panic', () => this.#logger.info({ ...ended }, 'these tenants have an endpoint again that is ready'))
  }

  #toldTogether(group: readonly EndpointTransition[]): void {
    const [first] = group
    if (first === undefined) return
    const { to, address, why } = first
    this.#told(to, { address, endpoints: group.length, first: group.slice(0, endpointsNamedMax).map(({ endpoint }) => endpoint), tenants: group.reduce((sum, { tenants }) => sum + tenants, 0), why })
  }

  #told(to: EndpointTransition['to'], line: Readonly<Record<string, unknown>>): void {
    this.#limited(to, () => {
      if (to === 'down') this.#logger.warn(line, 'endpoint down: it gets no new connection')
      else this.#logger.info(line, 'endpoint ready')
    })
  }

  #limited(kind: LineKind, write: () => void): void {
    if (this.#lines.take(kind, performance.now())) write()
    else this.#suppressed.inc()
  }
}
