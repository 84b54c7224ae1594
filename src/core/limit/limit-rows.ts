// Which row of the admission's tables is whose: the main thread writes it into each change of the snapshot, so all threads count a
// listener or a tenant in one place. One that leaves has its row as long as it has connections, and finds it again if it comes back.

import type { SnapshotChange } from '../snapshot.ts'

export class LimitRows {
  readonly #listeners: Rows
  readonly #tenants: Rows

  /** @param open of `AdmissionTables`: connections, by row */
  constructor({ listeners, tenants }: { readonly listeners: Int32Array; readonly tenants: Int32Array }) {
    this.#listeners = new Rows(listeners)
    this.#tenants = new Rows(tenants)
  }

  /** The change as threads are told of it, one after the other. */
  assign(change: SnapshotChange): SnapshotChange {
    const { listeners, tenants, removedTenants } = change
    this.#listeners.keepOnly(new Set(listeners.map(({ name }) => name)))
    if (removedTenants === 'all-others') this.#tenants.keepOnly(new Set(tenants.map(({ name }) => name)))
    else for (const name of removedTenants) this.#tenants.leave(name)
    return {
      ...change,
      listeners: listeners.map((listener) => Object.assign({}, listener, { limitRow: this.#listeners.rowOf(listener.name) })),
      tenants: tenants.map((tenant) => Object.assign({}, tenant, { limitRow: this.#tenants.rowOf(tenant.name) })),
    }
  }
}

/** The last row is for all that find none: they count as one, so that none has more than it may. */
class Rows {
  readonly #open: Int32Array
  readonly #rows = new Map<string, number>()
  readonly #leaving = new Map<string, number>()
  readonly #free: number[] = []
  #used = 0

  /** @param open connections, by row */
  constructor(open: Int32Array) {
    this.#open = open
  }

  rowOf(name: string): number {
    const row = this.#rows.get(name) ?? this.#leaving.get(name) ?? this.#take()
    this.#leaving.delete(name)
    if (row === undefined) return this.#open.length - 1
    this.#rows.set(name, row)
    return row
  }

  leave(name: string): void {
    const row = this.#rows.get(name)
    if (row === undefined) return
    this.#rows.delete(name)
    this.#leaving.set(name, row)
  }

  keepOnly(names: ReadonlySet<string>): void {
    for (const name of this.#rows.keys()) if (!names.has(name)) this.leave(name)
  }

  #take(): number | undefined {
    if (this.#free.length === 0 && this.#used === this.#open.length - 1) this.#collect()
    return this.#free.pop() ?? (this.#used < this.#open.length - 1 ? this.#used++ : undefined)
  }

  #collect(): void {
    for (const [name, row] of this.#leaving) {
      if (Atomics.load(this.#open, row) > 0) continue
      this.#leaving.delete(name)
      this.#free.push(row)
    }
  }
}
