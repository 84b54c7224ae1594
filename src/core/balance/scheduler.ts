// The scheduler contract: which endpoint a new connection, or its next attempt, is dialled to.
// Names and meanings are those of IPVS (ipvsadm(8)).

import type { Endpoint } from './endpoint.ts'

export interface Scheduler {
  readonly kind: 'rr'
  readonly endpoints: readonly Endpoint[]
  /**
   * The endpoint to dial next, or undefined when none is left that may take a new connection.
   * `tried` are the endpoints that this connection has failed on: they do not come again, because an endpoint that has
   * just refused refuses again at once.
   */
  pick(tried: readonly Endpoint[]): Endpoint | undefined
}
