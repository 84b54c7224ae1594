// The scheduler contract: which endpoint a new connection, or its next attempt, is dialled to.
// Names and meanings are those of IPVS (ipvsadm(8)).

import type { Endpoint } from './endpoint.ts'

export interface Scheduler {
  readonly kind: 'rr'
  readonly endpoints: readonly Endpoint[]
  /**
   * The endpoint to dial next, or undefined when none may take a new connection.
   * `tried` are the endpoints that this connection has failed on, oldest first: they come again only when there is no other.
   */
  pick(tried: readonly Endpoint[]): Endpoint | undefined
}
