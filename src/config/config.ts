// The configuration after it has been read: plain data, every default resolved, every reference checked. Nothing that
// gets one of these checks it again. It can be cloned between threads.

import type { KernelLaneMode } from '../core/kernel-lane-policy.ts'
import type { ListenerLimits, ProcessLimits } from '../core/limit/limits.ts'
import type { SocketAddress } from '../core/net/socket-address.ts'
import type { TenantSpec } from '../core/snapshot.ts'

export interface Config extends Settings {
  readonly tenants: readonly TenantSpec[]
}

/** All that is not one tenant's. */
export interface Settings {
  /** ≥1 */
  readonly listeners: readonly ListenerConfig[]
  readonly relay: RelayConfig
  readonly timeouts: ProcessTimeouts
  readonly limits: ProcessLimits
  /** Absent: no agent can have a session. */
  readonly tunnel?: TunnelConfig
  /** Empty: API servers can't ask for connections to their nodes. */
  readonly egress: readonly EgressConfig[]
  readonly state: StateConfig
  readonly admin: AdminConfig
}

/** Paths as written. Off loopback `certificate` and `tokenFile` are both there, or neither is. */
export interface AdminConfig {
  readonly address: SocketAddress
  readonly socket?: string
  readonly certificate?: { readonly certFile: string; readonly keyFile: string }
  readonly tokenFile?: string
}

export interface TunnelConfig {
  /** Normalised. */
  readonly hostnames: readonly string[]
  /** Paths as written. */
  readonly certificate: { readonly certFile: string; readonly keyFile: string }
  /** As written. Absent: agents are not asked for a certificate. */
  readonly clientCaFile?: string
  /** wss://HOST[:PORT], as `gatewayUrl` writes it; empty: agents are told of none. */
  readonly gateways: readonly string[]
  /** Where other gateways reach this one; absent: it has no links with others. */
  readonly peerAddress?: SocketAddress
  /** Agents may come by TCP connections with a ticket, on the tenants' listeners. */
  readonly directLane: boolean
  readonly threads: number | 'auto'
  /** Sessions begun in a second, at most. */
  readonly handshakesPerSecond: number
}

/** Paths as written. */
export type EgressConfig =
  | { readonly kind: 'socket'; readonly tenant: string; readonly path: string }
  | { readonly kind: 'tls'; readonly address: SocketAddress; readonly certificate: { readonly certFile: string; readonly keyFile: string }; readonly clientCaFile: string }

/** Paths as written. */
export type StateConfig =
  | { readonly kind: 'file'; readonly directory: string }
  | EtcdConfig

export interface EtcdConfig {
  readonly kind: 'etcd'
  /** HOST:PORT; one or more. */
  readonly endpoints: readonly string[]
  /** `/sluice`: no slash at its end. */
  readonly prefix: string
  /** Absent: Node's own authorities. */
  readonly caFile?: string
  readonly certificate?: { readonly certFile: string; readonly keyFile: string }
  readonly user?: { readonly name: string; readonly passwordFile: string }
  /** What is below `tenants/` there are tenants too. @default false */
  readonly tenants?: boolean
}

export interface RelayConfig {
  readonly driver: 'auto' | 'linux' | 'node'
  /** Threads of the Linux driver; `auto`: one for each core. */
  readonly workers: 'auto' | number
  /** Of the Linux driver's threads, before they accept. */
  readonly warmUpMs: number
  /** Of the Linux driver: whether the kernel moves bytes by itself. */
  readonly kernelLane: KernelLaneMode
  /** Of the Linux driver's threads, before they sleep; 0: not at all. */
  readonly busyPollUs: number
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
  readonly limits?: ListenerLimits
}
