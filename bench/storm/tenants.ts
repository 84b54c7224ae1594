// The tenants of a storm and of an attack, by the names that their clients say. Pure.

import type { Route } from '../peers/peer.ts'
import type { StormOptions } from './options.ts'

export const steadyName = 'steady.storm.example'
export const newcomersName = 'newcomers.storm.example'
/** The first of a storm's tenants. */
export const attackedName = crowdName(0)

export interface CrowdShare {
  readonly name: string
  readonly clients: number
}

/** Alike: a tenant that has more than the others may not have the last eighth of a gateway's connections, and never be all in. */
export function crowdShares({ clients, tenants }: Pick<StormOptions, 'clients' | 'tenants'>): readonly CrowdShare[] {
  return Array.from({ length: tenants }, (_, index) => ({ name: crowdName(index), clients: Math.floor(clients / tenants) + (index < clients % tenants ? 1 : 0) }))
}

/** @param ports echo servers on 127.0.0.1 */
export function stormRoutes(options: Pick<StormOptions, 'clients' | 'tenants'>, ports: { readonly steady: number; readonly crowd: number }): readonly Route[] {
  return [
    { serverName: steadyName, endpoint: `127.0.0.1:${ports.steady}` },
    ...[newcomersName, ...crowdShares(options).map(({ name }) => name)].map((serverName) => ({ serverName, endpoint: `127.0.0.1:${ports.crowd}` })),
  ]
}

function crowdName(index: number): string {
  return `crowd-${index}.storm.example`
}
