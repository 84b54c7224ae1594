// `/v1/tenants` and `/v1/drains`: what the running snapshot has of tenants, with what is counted for them, and moving a tenant's connections.

import type { EndpointStatus, StateBy } from '../../core/balance/endpoint-register.ts'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import { pageByName } from '../../core/page-by-name.ts'
import type { TenantLimits } from '../../core/limit/limits.ts'
import type { TenantSpec } from '../../core/snapshot.ts'
import type { AdminAnswer, AdminRoute } from '../../observe/admin/routes.ts'
import type { Drains, DrainStatus } from '../drains.ts'
import type { GatewayEndpoints } from '../endpoints.ts'
import { drainBegan, drainCancelled } from './drain-answers.ts'
import { answered, bodyOf, InputError, limitOf, overMsOf, queryOf } from './inputs.ts'

export interface TenantRoutesParts {
  /** Of the running snapshot. */
  readonly tenants: ReadonlyMap<string, TenantSpec>
  readonly endpoints: GatewayEndpoints
  /** Open ones by `limitRow`. */
  readonly openByRow: Int32Array
  readonly drains: Drains
}

/** As `/v1/tenants/NAME` answers. */
export interface TenantView {
  readonly name: string
  readonly hostnames: readonly string[]
  readonly scheduler: TenantSpec['scheduler']
  readonly attempts: number
  readonly allowedSources?: readonly string[]
  /** By the words of the configuration; those that there are not are absent. */
  readonly limits?: LimitsView
  /** Open now, streams of its agents too. */
  readonly connections: number
  readonly endpoints: readonly EndpointView[]
  readonly drain?: DrainStatus
}

interface LimitsView {
  readonly connections?: number
  readonly connectionsPerSource?: number
  readonly connectionsPerSecond?: number
  readonly connectionsBurst?: number
}

interface EndpointView {
  readonly endpoint: string
  readonly weight: number
  readonly state: 'ready' | 'draining' | 'down'
  /** Who says so. */
  readonly by: StateBy
  readonly why: string
  /** Of its weight, while it starts slowly; otherwise 1. */
  readonly share: number
  /** Connections and streams that it has of this tenant. */
  readonly active: number
}

export function tenantRoutes(parts: TenantRoutesParts): readonly AdminRoute[] {
  const { tenants, drains } = parts
  const ofTenant = (name: string, handle: (tenant: TenantSpec) => AdminAnswer | Promise<AdminAnswer>): AdminAnswer | Promise<AdminAnswer> => {
    const tenant = tenants.get(name)
    return tenant === undefined ? { status: 404, value: { error: 'no such tenant' } } : handle(tenant)
  }
  return [
    {
      method: 'GET', path: '/v1/tenants', access: 'guarded', summary: '?limit= continue=: tenants, by name',
      answer: async (request) => await answered(() => {
        const given = queryOf(request, ['limit', 'continue'])
        const { names, next } = pageByName(tenants.keys(), { limit: limitOf(given), after: given.get('continue') })
        return { status: 200, value: { tenants: names.flatMap((name) => lineOf(tenants.get(name), parts)), ...(next === undefined ? {} : { continue: next }) } }
      }),
    },
    {
      method: 'GET', path: '/v1/tenants/:name', access: 'guarded', summary: 'one: its endpoints, limits and connections',
      answer: async (request) => await answered(() => {
        queryOf(request, [])
        return ofTenant(request.params['name'] ?? '', (tenant) => ({ status: 200, value: viewOf(tenant, parts) }))
      }),
    },
    {
      method: 'POST', path: '/v1/tenants/:name/drain', access: 'guarded', summary: '{ over: 60s }: close what is open one after the other; new ones come as ever',
      answer: async (request) => await answered(async () => {
        queryOf(request, [])
        const overMs = overMsOf(bodyOf(request, ['over']))
        if (overMs === undefined) throw new InputError('over is missing', 'a duration (250ms, 5s, 10m) up to 1h: closes are spread over it')
        return await ofTenant(request.params['name'] ?? '', async ({ name }) => drainBegan(await drains.start(drainOf(name), { tenant: name }, overMs)))
      }),
    },
    {
      method: 'DELETE', path: '/v1/tenants/:name/drain', access: 'guarded', summary: 'leave the rest open',
      // Of a tenant that is gone too: its connections live on.
      answer: async (request) => await answered(() => drainCancelled(drains.cancel(drainOf(request.params['name'] ?? '')))),
    },
    { method: 'GET', path: '/v1/drains', access: 'guarded', summary: 'drains under way', answer: () => ({ status: 200, value: { drains: drains.all } }) },
  ]
}

function drainOf(tenant: string): string {
  return `tenant ${tenant}`
}

function lineOf(tenant: TenantSpec | undefined, { openByRow }: TenantRoutesParts): object[] {
  return tenant === undefined ? [] : [{ name: tenant.name, hostnames: tenant.hostnames, endpoints: tenant.endpoints.length, connections: openOf(tenant, openByRow) }]
}

function openOf({ limitRow }: TenantSpec, openByRow: Int32Array): number {
  return limitRow === undefined ? 0 : Atomics.load(openByRow, limitRow)
}

function viewOf(tenant: TenantSpec, { endpoints: states, openByRow, drains }: TenantRoutesParts): TenantView {
  const { name, hostnames, scheduler, attemptsMax, allowedSources, limits, endpoints } = tenant
  const drain = drains.of(drainOf(name))
  const byName = new Map(states.list({ tenant: name }).map((status) => [status.name, status]))
  return {
    name, hostnames, scheduler, attempts: attemptsMax,
    ...(allowedSources === undefined ? {} : { allowedSources }),
    ...(limits === undefined ? {} : { limits: limitsView(limits) }),
    connections: openOf(tenant, openByRow),
    endpoints: endpoints.map((endpoint) => endpointView(endpoint, byName.get(endpoint.name))),
    ...(drain === undefined ? {} : { drain }),
  }
}

function limitsView({ connectionsMax, connectionsPerSourceMax, rate }: TenantLimits): LimitsView {
  return {
    ...(connectionsMax === undefined ? {} : { connections: connectionsMax }),
    ...(connectionsPerSourceMax === undefined ? {} : { connectionsPerSource: connectionsPerSourceMax }),
    ...(rate === undefined ? {} : { connectionsPerSecond: rate.perSecond, connectionsBurst: rate.burst }),
  }
}

/** @param status undefined: nobody counts its connections, nor knows its state */
function endpointView({ name, weight }: Endpoint, status: EndpointStatus | undefined): EndpointView {
  const [own] = status?.tenants ?? []
  if (status === undefined || own === undefined) return { endpoint: name, weight, state: 'ready', by: 'checks', why: 'more endpoints than states are kept for', share: 1, active: 0 }
  return { endpoint: name, weight, state: own.state, by: own.by, why: own.by === 'ejection' ? 'dials of clients failed in a row' : status.health.why, share: own.share, active: own.activeConnections }
}
