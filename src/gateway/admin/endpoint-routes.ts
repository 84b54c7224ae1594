// `/v1/endpoints`: what state each is in, and a say in it. An address without a port is an admin node: all of its endpoints.

import { formatSocketAddress } from '../../core/net/socket-address.ts'
import type { EndpointPlace, EndpointState, EndpointStatus } from '../../core/balance/endpoint-register.ts'
import type { AdminAnswer, AdminRequest, AdminRoute } from '../../observe/admin/routes.ts'
import type { Drains } from '../drains.ts'
import type { GatewayEndpoints } from '../endpoints.ts'
import { drainBegan, drainCancelled } from './drain-answers.ts'
import { answered, bodyOf, endpointOf, InputError, limitOf, overMsOf, queryOf } from './inputs.ts'

const states = ['ready', 'draining', 'down'] as const satisfies readonly EndpointState[]

export interface EndpointRoutesParts {
  readonly endpoints: GatewayEndpoints
  readonly drains: Drains
}

export function endpointRoutes({ endpoints, drains }: EndpointRoutesParts): readonly AdminRoute[] {
  return [
    {
      method: 'GET', path: '/v1/endpoints', access: 'guarded', summary: '?endpoint= tenant= state= limit= continue=: endpoints and their states',
      answer: async (request) => await answered(() => {
        const given = queryOf(request, ['endpoint', 'tenant', 'state', 'limit', 'continue'])
        const [endpoint, tenant, state, after] = ['endpoint', 'tenant', 'state', 'continue'].map((key) => given.get(key))
        const place = { ...(endpoint === undefined ? {} : endpointOf(endpoint)), ...(tenant === undefined ? {} : { tenant }) }
        const page = endpoints.page(place, {
          limit: limitOf(given), after: after === undefined ? undefined : Buffer.from(after, 'base64url').toString(), state: state === undefined ? undefined : stateOf(state),
        })
        return { status: 200, value: { endpoints: page.endpoints.map(viewOf), ...(page.next === undefined ? {} : { continue: Buffer.from(page.next).toString('base64url') }) } }
      }),
    },
    {
      method: 'PUT', path: '/v1/endpoints/:endpoint/state', access: 'guarded', summary: '{ state: ready, draining or down; tenant:, over: }: what it is from now on',
      answer: async (request) => await answered(async () => {
        queryOf(request, [])
        const body = bodyOf(request, ['state', 'tenant', 'over'])
        if (body['tenant'] !== undefined && typeof body['tenant'] !== 'string') throw new InputError('tenant is no name', 'the name of a tenant')
        const place = placeOf(request, body['tenant'])
        const [state, overMs] = [stateOf(body['state']), overMsOf(body)]
        if (state === 'ready' && overMs !== undefined) throw new InputError('over, with state ready', 'over with draining or down: what it has is closed over that')
        const count = setState(endpoints, place, state)
        if (typeof count !== 'number') return count
        if (count === 0) return { status: 404, value: { error: 'no such endpoint' } }
        if (state === 'ready') drains.cancel(drainOf(place))
        const value = { state, endpoints: count }
        if (overMs === undefined) return { status: 200, value }
        const { tenant, ...endpoint } = place
        return drainBegan(await drains.start(drainOf(place), { endpoint, ...(tenant === undefined ? {} : { tenant }) }, overMs), value)
      }),
    },
    {
      method: 'DELETE', path: '/v1/endpoints/:endpoint/state', access: 'guarded', summary: '?tenant=: as its checks say again',
      answer: async (request) => await answered(() => {
        const place = placeOf(request, queryOf(request, ['tenant']).get('tenant'))
        drains.cancel(drainOf(place))
        return { status: 200, value: { endpoints: endpoints.setState(place, undefined) } }
      }),
    },
    {
      method: 'DELETE', path: '/v1/endpoints/:endpoint/drain', access: 'guarded', summary: '?tenant=: leave the rest open; its state stays',
      answer: async (request) => await answered(() => drainCancelled(drains.cancel(drainOf(placeOf(request, queryOf(request, ['tenant']).get('tenant')))))),
    },
  ]
}

function placeOf({ params }: AdminRequest, tenant: string | undefined): EndpointPlace {
  return { ...endpointOf(params['endpoint'] ?? ''), ...(tenant === undefined ? {} : { tenant }) }
}

function drainOf({ address, port, tenant }: EndpointPlace): string {
  return `endpoint ${port === undefined ? address : formatSocketAddress({ address, port })}${tenant === undefined ? '' : ` of tenant ${tenant}`}`
}

function stateOf(value: unknown): EndpointState {
  const state = states.find((each) => each === value)
  if (state === undefined) throw new InputError(value === undefined ? 'state is missing' : `state: ${JSON.stringify(value)}`, `one of ${states.join(', ')}`)
  return state
}

function setState(endpoints: GatewayEndpoints, place: EndpointPlace, state: EndpointState): number | AdminAnswer {
  try {
    return endpoints.setState(place, state)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'OPERATOR_STATES_FULL') return { status: 409, value: { error: error.message } }
    throw error
  }
}

/** Times as elsewhere in the API. */
function viewOf({ name, check, health: { sinceMs, ...health }, activeConnections, tenantCount, tenants }: EndpointStatus): object {
  return {
    endpoint: name, check,
    health: { ...health, since: new Date(sinceMs).toISOString() },
    active: activeConnections, tenantCount,
    tenants: tenants.map(({ activeConnections: active, ...tenant }) => ({ ...tenant, active })),
  }
}
