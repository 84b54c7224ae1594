// The scheduler contract: which endpoint a new connection, or its next attempt, is dialled to.
// Names and meanings are those of IPVS (ipvsadm(8)):
//
//   rr   round-robin.ts            in turn
//   wrr  weighted-round-robin.ts   in turn, by weight
//   lc   least-connection.ts       to the one with the fewest connections
//   wlc  least-connection.ts       to the one with the fewest for its weight
//   sh   source-hash.ts            by the client's address
//   mh   maglev.ts                 by the client's address, so that few move when endpoints come and go
//
// An endpoint with weight 0 is quiesced: it gets no new connection. `rr` and `lc` ask no more of weights than that.

import type { Endpoint } from './endpoint.ts'

export const schedulerKinds = ['rr', 'wrr', 'lc', 'wlc', 'sh', 'mh'] as const
export type SchedulerKind = (typeof schedulerKinds)[number]

/** In a few words, for those who configure one. */
export const schedulerMeanings: Readonly<Record<SchedulerKind, string>> = {
  rr: 'in turn',
  wrr: 'in turn, by weight',
  lc: 'fewest connections',
  wlc: 'fewest connections for its weight',
  sh: 'by the client’s address and by weight',
  mh: 'the same, and few clients move when endpoints change: Maglev',
}

export const weightMax = 65_535

export interface Scheduler {
  readonly kind: SchedulerKind
  readonly endpoints: readonly Endpoint[]
  /**
   * The endpoint to dial next, or undefined when none is left that may take a new connection.
   * @param tried the endpoints that this connection has failed on: they do not come again, because an endpoint that has just
   *   refused refuses again at once
   * @param source the client's address, in its canonical text
   */
  pick(tried: readonly Endpoint[], source: string): Endpoint | undefined
}

/** Those that take new connections. */
export function usableOf(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return endpoints.some(isQuiesced) ? endpoints.filter((endpoint) => !isQuiesced(endpoint)) : endpoints
}

function isQuiesced({ weight }: Endpoint): boolean {
  return weight === 0
}
