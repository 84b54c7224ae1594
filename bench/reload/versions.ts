// The configurations that follow one another: of each hundred tenants the next one has moved to another port, and the
// probed tenant to the other one of its two endpoints. Pure.

import type { Route } from '../peers/peer.ts'
import { type RolePorts, routesOf } from '../routes.ts'

/** The name that probes ask for. */
export const probedName = 'probe.bench.example'
const firstPort = 6443
/** Of so many tenants one changes. */
const changedOf = 100

export interface VersionFacts {
  readonly backendPorts: RolePorts
  /** Of the probed tenant, in even and in odd versions. */
  readonly probePorts: readonly [even: number, odd: number]
  readonly hostnames: number
}

/** @param version from 0 */
export function routesAt(version: number, { backendPorts, probePorts, hostnames }: VersionFacts): readonly Route[] {
  const changesOf = (index: number): number => Math.floor((version + changedOf - 1 - index % changedOf) / changedOf)
  return [
    ...routesOf(backendPorts, hostnames - 1, (index) => firstPort + changesOf(index)),
    { serverName: probedName, endpoint: `127.0.0.1:${probePorts[version % 2 === 0 ? 0 : 1]}` },
  ]
}
