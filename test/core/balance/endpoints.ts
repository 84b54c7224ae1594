// Endpoints a, b, c, … by their weights, and counts of their connections that a test sets.

import type { ActiveCounts } from '../../../src/core/balance/active-counts.ts'
import type { EndpointStates } from '../../../src/core/balance/endpoint-states.ts'
import type { Endpoint } from '../../../src/core/balance/endpoint.ts'
import type { Scheduler } from '../../../src/core/balance/scheduler.ts'

export function endpoints(...weights: readonly number[]): Endpoint[] {
  return weights.map((weight, index) => ({ name: nameOf(index), address: `192.0.2.${index + 1}`, port: 6443, weight, row: index }))
}

/** `a` to `z`, then `n26` and so on. */
function nameOf(index: number): string {
  return index < 26 ? String.fromCharCode(97 + index) : `n${index}`
}

/** The names that come, one after the other. */
export function names(scheduler: Scheduler, picks: number): string {
  return Array.from({ length: picks }, () => scheduler.pick([], '192.0.2.1')?.name ?? '-').join('')
}

/** How often each of its endpoints comes. */
export function shares(scheduler: Scheduler, picks: number, source: (pick: number) => string = () => '192.0.2.1'): number[] {
  const counts = new Map(scheduler.endpoints.map((endpoint) => [endpoint, 0]))
  for (let pick = 0; pick < picks; pick++) {
    const endpoint = scheduler.pick([], source(pick))
    if (endpoint === undefined) throw new Error('no endpoint')
    counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
  }
  return [...counts.values()]
}

/** By row, which is the index of `endpoints`. */
export class Counts implements ActiveCounts {
  readonly rows: number[]
  /** Of dials that failed, and of connections that were not answered. */
  readonly failedRows: number[] = []
  /** Of dials that succeeded. */
  readonly connectedRows: number[] = []

  constructor(rows: readonly number[] = []) {
    this.rows = [...rows]
  }

  of({ row = 0 }: Endpoint): number {
    return this.rows[row] ?? 0
  }

  began({ row = 0 }: Endpoint): number {
    this.rows[row] = (this.rows[row] ?? 0) + 1
    return this.connectedRows.filter((each) => each === row).length
  }

  ended({ row = 0 }: Endpoint): void {
    this.rows[row] = (this.rows[row] ?? 0) - 1
  }

  failed({ row = 0 }: Endpoint): void {
    this.failedRows.push(row)
  }

  unanswered({ row = 0 }: Endpoint): void {
    this.failedRows.push(row)
  }

  connected({ row = 0 }: Endpoint): void {
    this.connectedRows.push(row)
  }
}

/** By row, as `Counts`. */
export class States implements EndpointStates {
  readonly rows: number[]

  constructor(rows: readonly number[] = []) {
    this.rows = [...rows]
  }

  of({ row = 0 }: Endpoint): number {
    return this.rows[row] ?? 0
  }
}
