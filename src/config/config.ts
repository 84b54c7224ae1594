// The configuration after it has been read: plain data, every default resolved, every reference checked. Nothing that
// gets one of these checks it again. It can be cloned between threads.

import type { Endpoint } from '../core/balance/endpoint.ts'
import type { SocketAddress } from '../core/net/socket-address.ts'

export interface Config {
  /** ≥1 */
  readonly listeners: readonly ListenerConfig[]
  readonly relay: { readonly driver: 'auto' | 'node' }
  readonly timeouts: ProcessTimeouts
  readonly tenants: readonly TenantConfig[]
  readonly admin: { readonly address: SocketAddress }
}

/** Those that no tenant can override: the tenant is not known before the hello. */
export interface ProcessTimeouts {
  /** From the accept to the whole ClientHello, PROXY header included. */
  readonly helloMs: number
  /** After SIGTERM, with readiness failing, accepting goes on for so long. */
  readonly drainGraceMs: number
}

export interface ListenerConfig {
  /** The address as written. */
  readonly name: string
  readonly address: SocketAddress
  /** The tenant that hellos without a name go to. */
  readonly defaultTenant?: string
  readonly proxyProtocol?: { readonly trustedSources: readonly string[] }
}

export interface TenantConfig {
  readonly name: string
  /** Normalised: exact names and `*.` wildcards. */
  readonly hostnames: readonly string[]
  readonly scheduler: 'rr'
  readonly endpoints: readonly Endpoint[]
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly halfClosedTimeoutMs: number
  readonly drainTimeoutMs: number
  readonly attemptsMax: number
  /** Networks in CIDR notation; absent: every source. */
  readonly allowedSources?: readonly string[]
  readonly sendProxyProtocol?: 'v1' | 'v2'
}
