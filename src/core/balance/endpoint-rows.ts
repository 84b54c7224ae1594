// Which row of the tables that are kept by endpoint, in memory that all threads share, is whose. The main thread gives rows
// out and puts them into the changes that it publishes, so every thread has the same ones.
//
// An endpoint keeps its row, by its tenant's and its own name, over all changes that keep it. A row that was given back is
// given out again once nobody counts in it. A connection that still holds an old configuration may yet pick the endpoint
// that had the row: it adds one and takes one away, so what is wrong of the new one's count ends with it.

import { activeInRow, endpointRowsMax, type ActiveCells } from './active-counts.ts'
import type { Endpoint } from './endpoint.ts'
import type { SnapshotChange, TenantSpec } from '../snapshot.ts'

/** Rows given back that are looked at for an empty one, for each endpoint that needs one. */
const looksMax = 4

const none: readonly never[] = []

export class EndpointRows {
  readonly #active: ActiveCells
  readonly #rowsMax: number
  /** By tenant, as they were last given out. */
  readonly #endpoints = new Map<string, readonly Endpoint[]>()
  /** Given back: the oldest first, from `#freeStart` on. */
  #free: number[] = []
  #freeStart = 0

  constructor(active: ActiveCells, rowsMax = endpointRowsMax) {
    this.#active = active
    this.#rowsMax = rowsMax
  }

  /**
   * The change with a row for each endpoint. Where too few are left a tenant's endpoints have none, and count as empty:
   * all of them, since one that counts beside one that does not would get nothing.
   * @returns and the tenants that have none
   */
  give(change: SnapshotChange): { readonly change: SnapshotChange; readonly without: number } {
    if (change.removedTenants === 'all-others') {
      const staying = new Set(change.tenants.map(({ name }) => name))
      for (const name of this.#endpoints.keys()) if (!staying.has(name)) this.#forget(name)
    } else for (const name of change.removedTenants) this.#forget(name)
    let without = 0
    const tenants = change.tenants.map((tenant) => {
      const endpoints = this.#endpointsOf(tenant)
      if (endpoints === undefined) without += 1
      return endpoints === undefined ? tenant : { ...tenant, endpoints }
    })
    return { change: { ...change, tenants }, without }
  }

  #endpointsOf({ name, endpoints }: TenantSpec): readonly Endpoint[] | undefined {
    const before = this.#endpoints.get(name) ?? none
    const leaving = before.length === 0 || isSameList(before, endpoints) ? undefined : new Map(before.map(({ name: each, row }) => [each, row]))
    const kept = endpoints.map(({ name: each }, index) => {
      const row = leaving === undefined ? before[index]?.row : leaving.get(each)
      leaving?.delete(each)
      return row
    })
    // Before others are taken: where rows are scarce these are what is left.
    for (const row of leaving?.values() ?? none) if (row !== undefined) this.#free.push(row)
    const given: Endpoint[] = []
    for (const [index, endpoint] of endpoints.entries()) {
      const row = kept[index] ?? this.#take()
      if (row === undefined) break
      given.push({ ...endpoint, row })
    }
    if (given.length < endpoints.length) {
      for (const row of new Set([...given.map(({ row: each }) => each), ...kept])) if (row !== undefined) this.#free.push(row)
      this.#endpoints.delete(name)
      return undefined
    }
    this.#endpoints.set(name, given)
    return given
  }

  #forget(tenant: string): void {
    for (const { row } of this.#endpoints.get(tenant) ?? none) if (row !== undefined) this.#free.push(row)
    this.#endpoints.delete(tenant)
  }

  #take(): number | undefined {
    for (let look = 0; look < looksMax && this.#freeStart < this.#free.length; look++) {
      const row = this.#takeFree()
      if (activeInRow(this.#active, row) === 0) return row
      this.#free.push(row)
    }
    const used = this.#active.rowsUsed[0] ?? 0
    if (used < this.#rowsMax) {
      this.#active.rowsUsed[0] = used + 1
      return used
    }
    // Rather one that old connections are still counted in than none.
    return this.#freeStart < this.#free.length ? this.#takeFree() : undefined
  }

  #takeFree(): number {
    const row = this.#free[this.#freeStart] ?? 0
    this.#freeStart += 1
    if (this.#freeStart * 2 > this.#free.length) {
      this.#free = this.#free.slice(this.#freeStart)
      this.#freeStart = 0
    }
    return row
  }
}

function isSameList(left: readonly Endpoint[], right: readonly Endpoint[]): boolean {
  return left.length === right.length && left.every(({ name }, index) => name === right[index]?.name)
}
