import type { ActiveCounts } from './active-counts.ts'
import type { Endpoint } from './endpoint.ts'
import { LeastConnection } from './least-connection.ts'
import { Maglev } from './maglev.ts'
import { RoundRobin } from './round-robin.ts'
import type { Scheduler, SchedulerKind } from './scheduler.ts'
import { SourceHash } from './source-hash.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

export interface SchedulerOptions {
  readonly active: ActiveCounts
  /** Which endpoint comes first where none has to: a whole number, 0 or more, counted round. */
  readonly firstIndex: number
}

const creators: Readonly<Record<SchedulerKind, (endpoints: readonly Endpoint[], options: SchedulerOptions) => Scheduler>> = {
  rr: (endpoints, { firstIndex }) => new RoundRobin(endpoints, firstIndex),
  wrr: (endpoints, { firstIndex }) => new WeightedRoundRobin(endpoints, firstIndex),
  lc: (endpoints, options) => new LeastConnection('lc', endpoints, options),
  wlc: (endpoints, options) => new LeastConnection('wlc', endpoints, options),
  sh: (endpoints) => new SourceHash(endpoints),
  mh: (endpoints, { active }) => new Maglev(endpoints, active),
}

export function createScheduler(kind: SchedulerKind, endpoints: readonly Endpoint[], options: SchedulerOptions): Scheduler {
  return creators[kind](endpoints, options)
}
