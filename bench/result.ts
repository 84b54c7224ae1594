// What a bench comes to: the JSON document, and what the report is made from.

import type { Measured } from './conclude.ts'
import type { Machine } from './machine.ts'
import type { Options } from './options.ts'
import type { Workload } from './workload.ts'

/** Measured without a relay: the generator and the backend by themselves. */
export const direct = 'direct'
/** The one that the others are peers of. */
export const own = 'sluice'

/** Itself, or with other settings (`sluice-lane`): nobody's peer. */
export function isOwn(relay: string): boolean {
  return relay === own || relay.startsWith(`${own}-`)
}

export interface TargetFacts {
  /** `sluice`; `sluice-100000` where it is measured with several numbers of hostnames. */
  readonly name: string
  /** Its name in any case; `direct`. */
  readonly relay: string
  /** In its configuration. */
  readonly hostnames: number
  readonly version: string
  readonly settings: string
}

export interface Measurement extends Measured {
  readonly run: number
  readonly target: string
  readonly workload: string
}

export interface BenchResult {
  /** ISO 8601. */
  readonly startedAt: string
  readonly tookSeconds: number
  readonly machine: Machine
  readonly options: Options
  readonly targets: readonly TargetFacts[]
  readonly absent: readonly { readonly name: string, readonly reason: string }[]
  readonly workloads: readonly Workload[]
  readonly skipped: readonly { readonly workload: string, readonly reason: string }[]
  readonly measurements: readonly Measurement[]
  /** Relays that did not start, or that ended. */
  readonly problems: readonly string[]
}
