// The tenants that all relays have in their configurations. Pure.

import type { BackendRole } from './load/backend-protocol.ts'
import type { Route } from './peers/peer.ts'

/** Of the servers that the routes lead to. */
export type RolePorts = Readonly<Record<BackendRole, number>>

const roles = ['echo', 'source', 'sink'] as const

/** Those that are used: there are no fewer in a configuration. */
export const hostnamesMin = roles.length

/** The name that connections to a role's backend ask for. */
export function serverNameOf(role: BackendRole): string {
  return `${role}.bench.example`
}

/**
 * The tenants of a configuration of so many hostnames. Those that are used are in the middle: the average place where a
 * relay looks through its list. The others have endpoints of their own, which nobody is at.
 * @param portOf the others' API servers, by index
 */
export function routesOf(backendPorts: RolePorts, hostnames: number, portOf: (index: number) => number = () => 6443): readonly Route[] {
  const used = roles.map((role) => ({ serverName: serverNameOf(role), endpoint: `127.0.0.1:${backendPorts[role]}` }))
  const others = Array.from({ length: hostnames - used.length }, (_, index) => ({
    serverName: `tenant-${index}.bench.example`,
    endpoint: `127.${64 + (index >>> 16)}.${(index >>> 8) & 255}.${index & 255}:${portOf(index)}`,
  }))
  return others.toSpliced(Math.floor(others.length / 2), 0, ...used)
}
