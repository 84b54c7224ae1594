import type { ActiveCounts } from './active-counts.ts'
import type { EndpointStates } from './endpoint-states.ts'
import type { Endpoint } from './endpoint.ts'
import { LeastConnection } from './least-connection.ts'
import { Maglev } from './maglev.ts'
import { RoundRobin } from './round-robin.ts'
import type { Scheduler, SchedulerKind } from './scheduler.ts'
import { SourceHash } from './source-hash.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

export interface SchedulerOptions {
  readonly active: ActiveCounts
  readonly states: EndpointStates
  /** Which endpoint comes first where none has to: a whole number, 0 or more, counted round. */
  readonly firstIndex: number
}

const creators: Readonly<Record<SchedulerKind, (endpoints: readonly Endpoint[], options: SchedulerOptions) => Scheduler>> = {
  rr: (endpoints, { firstIndex, states }) => new RoundRobin(endpoints, firstIndex, states),
  wrr: (endpoints, { firstIndex, states }) => new WeightedRoundRobin(endpoints, firstIndex, states),
  lc: (endpoints, options) => new LeastConnection('lc', endpoints, options),
  wlc: (endpoints, options) => new LeastConnection('wlc', endpoints, options),
  sh: (endpoints, { states }) => new SourceHash(endpoints, states),
  mh: (endpoints, { active, states }) => new Maglev(endpoints, active, states),
}

export function createScheduler(kind: SchedulerKind, endpoints: readonly Endpoint[], options: SchedulerOptions): Scheduler {
  return creators[kind](endpoints, options)
}
