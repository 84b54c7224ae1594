// What a running gateway says of a tenant, for `sluice explain --admin`: which endpoint it would pick just now, and what would refuse.

import { failedBit, heldBit, shareParts, startingSlowly, type EndpointStates } from '../../core/balance/endpoint-states.ts'
import { noActiveCounts, type ActiveCounts } from '../../core/balance/active-counts.ts'
import { createScheduler } from '../../core/balance/create-scheduler.ts'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { TerminationReason } from '../../core/termination.ts'
import type { TenantView } from '../../gateway/admin/tenant-routes.ts'

export type Line = readonly [name: string, value: string]

export interface LiveExplanation {
  readonly lines: readonly Line[]
  readonly refused?: TerminationReason
}

/** @param from the client's address; undefined: any */
export function liveExplanation(tenant: TenantView, from: string | undefined): LiveExplanation {
  const { endpoints, connections, limits } = tenant
  const width = Math.max(...endpoints.map(({ endpoint }) => endpoint.length))
  const lines: Line[] = endpoints.map((each, index): Line => [index === 0 ? 'now' : '', `${each.endpoint.padEnd(width)}  ${stateText(each)}, ${count(each.active, 'connection')}`])
  lines.push(['open', `${count(connections, 'connection')} of the tenant${limits?.connections === undefined ? '' : `, of ${limits.connections} that it may have`}`])
  if (tenant.drain !== undefined) lines.push(['drain', `${tenant.drain.left} of ${tenant.drain.connections} connections are yet to be closed`])
  if (limits?.connections !== undefined && connections >= limits.connections) return { lines, refused: 'tenant-connection-limit' }
  const picked = pick(tenant, from ?? '')
  if (picked === undefined) return { lines, refused: 'no-endpoint' }
  lines.push(['would go', wouldGo(tenant, picked, from)])
  return { lines }
}

type EndpointView = TenantView['endpoints'][number]

function stateText({ state, by, why, share, weight }: EndpointView): string {
  if (weight === 0) return 'quiesced (weight 0)'
  if (by === 'operator') return `${state}, the operator says`
  if (state === 'down') return `down: ${why}`
  return share < 1 ? `ready, starting slowly with ${Math.round(share * 100)} % of its weight` : state
}

/** Where a scheduler goes by turns each thread has its own: then it is one of those. */
function wouldGo({ scheduler, endpoints }: TenantView, picked: Endpoint, from: string | undefined): string {
  const isPanic = endpoints.find(({ endpoint }) => endpoint === picked.name)?.state === 'down'
  const tried = isPanic ? ', which is down as the others are: it is tried all the same' : ''
  if (scheduler === 'rr' || scheduler === 'wrr') return `to each that is ready in its turn${isPanic ? ': none is, so those that are down are tried' : ''}`
  if ((scheduler === 'sh' || scheduler === 'mh') && from === undefined) return '--from IP tells where'
  return `to ${picked.name}${tried}`
}

function pick({ scheduler, endpoints }: TenantView, from: string): Endpoint | undefined {
  const byName = new Map(endpoints.map((each) => [each.endpoint, each]))
  const active: ActiveCounts = { ...noActiveCounts, of: ({ name }) => byName.get(name)?.active ?? 0 }
  const states: EndpointStates = { of: ({ name }) => stateNumber(byName.get(name)) }
  // Its own numbers stand in the place of addresses: nothing is dialled.
  const made = endpoints.map(({ endpoint: name, weight }, row): Endpoint => ({ name, address: name, port: 0, weight, row }))
  return createScheduler(scheduler, made, { active, states, firstIndex: 0 }).pick([], from)
}

function stateNumber(view: EndpointView | undefined): number {
  if (view === undefined) return 0
  if (view.state === 'ready') return startingSlowly(Math.max(1, Math.round(view.share * shareParts)))
  return view.by === 'operator' ? heldBit : failedBit
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
