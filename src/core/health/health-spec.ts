/** What a tenant's endpoints are checked by. Absent where they are not. */
export interface HealthSpec {
  /** tcp: a connection is accepted · tls: … and a handshake ends well · readyz: … and GET /readyz is answered with 200. */
  readonly kind: HealthKind
  /** From one check to the next. */
  readonly intervalMs: number
  /** For the whole of a check. */
  readonly timeoutMs: number
  /** Checks that fail in a row until an endpoint is down. */
  readonly fall: number
  /** Checks that succeed in a row until it is ready again. */
  readonly rise: number
  /** How long its weight takes to be whole again after that; 0: at once. */
  readonly slowStartMs: number
  /** Of kind tls and readyz: whom to ask for, and whose certificate it must be where authorities are given. */
  readonly serverName?: string
  /** A file in PEM, the authorities of its certificate; absent: that is not verified. */
  readonly caFile?: string
  /** The PROXY header that its endpoints wait for: they answer nobody who comes without. */
  readonly sendsProxyHeader?: 'v1' | 'v2'
}

export const healthKinds = ['tcp', 'tls', 'readyz'] as const
export type HealthKind = (typeof healthKinds)[number]
