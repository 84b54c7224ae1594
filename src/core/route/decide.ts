// Which tenant a connection goes to, whether it is the tunnel's, or what refuses it. The relay and `sluice explain` ask the same function.

import type { ListenerPolicy, Snapshot, TenantPolicy } from '../snapshot.ts'
import { normalizeHostname } from './hostname.ts'

export type RouteDecision =
  | {
      readonly kind: 'route'
      readonly tenant: TenantPolicy
      /** The hostname or wildcard that matched; absent: the listener's `defaultTenant`. */
      readonly pattern?: string
    }
  /** A tunnel hostname: no tenant's, and nothing is dialled. */
  | { readonly kind: 'tunnel'; readonly pattern: string }
  | {
      readonly kind: 'refused'
      readonly reason: 'no-server-name' | 'invalid-server-name' | 'unknown-server-name' | 'source-not-allowed'
      readonly detail: string
      /** Known when the name was right and the source was not. */
      readonly tenant?: TenantPolicy
      readonly pattern?: string
    }

/**
 * @param serverName as it stood in the hello (Latin-1 of its bytes); undefined where the hello had none
 * @param clientAddress canonical IP literal
 */
export function decideRoute(
  snapshot: Snapshot,
  listener: ListenerPolicy,
  serverName: string | undefined,
  clientAddress: string,
): RouteDecision {
  const named = decideByName(snapshot, listener, serverName)
  if (named.kind !== 'route') return named
  const { tenant } = named
  if (tenant.allowedSources !== undefined && !tenant.allowedSources.contains(clientAddress)) {
    return {
      ...named,
      kind: 'refused',
      reason: 'source-not-allowed',
      detail: `${clientAddress} is not in allowedSources of tenant ${tenant.name}`,
    }
  }
  return named
}

function decideByName(snapshot: Snapshot, listener: ListenerPolicy, serverName: string | undefined): RouteDecision {
  if (serverName === undefined) return decideWithoutName(listener, 'the hello has no server name')
  const normalized = normalizeHostname(serverName)
  switch (normalized.kind) {
    case 'ip-literal':
      // RFC 6066 §3 forbids IP literals in server_name; clients that send one anyway mean "no name".
      return decideWithoutName(listener, 'the server name is an IP literal, which counts as none')
    case 'invalid':
      return { kind: 'refused', reason: 'invalid-server-name', detail: normalized.detail }
    case 'hostname': {
      if (snapshot.tunnelHostnames.has(normalized.hostname)) return { kind: 'tunnel', pattern: normalized.hostname }
      const match = snapshot.hostnames.lookup(normalized.hostname)
      if (match === undefined) {
        return { kind: 'refused', reason: 'unknown-server-name', detail: `neither an exact name nor a wildcard matches ${normalized.hostname}` }
      }
      return { kind: 'route', tenant: match.value, pattern: match.pattern }
    }
    default:
      return normalized satisfies never
  }
}

function decideWithoutName(listener: ListenerPolicy, detail: string): RouteDecision {
  if (listener.defaultTenant === undefined) {
    return { kind: 'refused', reason: 'no-server-name', detail: `${detail}, and the listener has no defaultTenant` }
  }
  return { kind: 'route', tenant: listener.defaultTenant }
}
