// What tests of the lab do again and again: calls and watches by each gateway, or at the place.

import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../support/sockets.ts'
import type { Outcome, Watch } from './client.ts'
import type { LabGateway } from './gateway.ts'
import { nodePortOf, place, serverNameOf, tenantsCount, type Lab } from './lab.ts'

/** By each gateway: each endpoint is anybody's first. */
const callsEach = 4
/** Enough that each gateway gets some. */
const placeCalls = 30
const pollIntervalMs = 20

export interface Called extends Outcome {
  readonly gateway: LabGateway
}

export interface WatchBy {
  readonly gateway: LabGateway
  readonly watch: Watch
}

/** Waits until each gateway has so many endpoints down. */
export async function downAtAll({ gateways }: Lab, isWanted: (down: number) => boolean): Promise<void> {
  for (const gateway of gateways) while (!isWanted(await gateway.endpointsDown())) await delay(pollIntervalMs)
}

/** So many by each gateway, all at once. */
export async function callEach({ gateways, kubectl }: Lab, tenant: number, count = callsEach): Promise<readonly Called[]> {
  return await Promise.all(Array.from({ length: count }, () => gateways).flat().map(async (gateway) =>
    Object.assign(await kubectl.call({ to: gateway.at, serverName: serverNameOf(tenant) }), { gateway })))
}

/** One of each tenant by each gateway, all at once. */
export async function callAll(lab: Lab): Promise<readonly Called[]> {
  return (await Promise.all(Array.from({ length: tenantsCount }, async (_, tenant) => await callEach(lab, tenant, 1)))).flat()
}

export async function callPlace({ kubectl }: Lab, tenant: number): Promise<readonly Outcome[]> {
  return await Promise.all(Array.from({ length: placeCalls }, async () => await kubectl.call({ to: place, serverName: serverNameOf(tenant) })))
}

interface WatchWhere {
  /** @default the first */
  readonly gateway?: LabGateway
  readonly tenant: number
  /** Index of the node that answers it. */
  readonly node: number
  readonly path: '/watch' | '/ticks'
}

/** Comes again until it has got that node; those before stay meanwhile, so that each scheduler takes another one. */
export async function watchOn({ gateways: [first], nodes, kubectl }: Lab, { gateway = first, tenant, node, path }: WatchWhere): Promise<Watch> {
  if (gateway === undefined) throw new Error('there is no gateway')
  const others: Watch[] = []
  for (;;) {
    const watch = await kubectl.watch({ to: gateway.at, serverName: serverNameOf(tenant), path })
    if (watch.server === `${nodes[node]?.host.name}:${nodePortOf(tenant)}`) {
      for (const other of others) other.close()
      return watch
    }
    others.push(watch)
  }
}

/** At the place, by whichever gateway the client's address leads to. */
export async function placeWatch({ gateways, kubectl }: Lab, tenant: number): Promise<WatchBy> {
  const to = { to: place, serverName: serverNameOf(tenant) }
  const { client } = await kubectl.call(to)
  let gateway: LabGateway | undefined
  await until(() => (gateway = gateways.find((each) => each.knownLineOf(client) !== undefined)) !== undefined)
  if (gateway === undefined) throw new Error('unreachable')
  return { gateway, watch: await kubectl.watch({ ...to, path: '/watch', from: client.slice(0, client.lastIndexOf(':')) }) }
}
