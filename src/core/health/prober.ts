// What makes checks, for who decides which (health-monitor.ts).

import type { CheckTarget } from '../balance/endpoint-register.ts'

/** void: it could not be made for reasons that lie here (no descriptor, no port, no authorities): it says nothing of the endpoint. */
export const checkResults = ['passed', 'failed', 'void'] as const
export type CheckResultKind = (typeof checkResults)[number]

export interface CheckResult {
  readonly kind: CheckResultKind
  /** In words: `connection refused`. The same for the same result. */
  readonly why: string
}

export type CheckDone = (id: number, result: CheckResult) => void

export interface Prober {
  /** Of checks that are under way. */
  readonly size: number
  /** Begins a check. `done` comes once, within the target's `timeoutMs`, and not before this returns. */
  begin(target: CheckTarget): void
  /** Brings the results that are there. Where it is `undefined` they come by themselves. */
  poll?(nowMs: number): void
  /** Ends all; nothing comes any more. */
  close(): void
}
