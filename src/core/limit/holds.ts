// What a thread's connections have taken of the admission's tables, each by a number: its hold. All of a thread's holds are in
// shared memory, so that others can give back what a thread that died had.

import { holdField, holdFields, processCell, type AdmissionTables } from './admission-tables.ts'
import { sourceGreeted, sourceLeft, unlockAll } from './source-table.ts'

/** In place of a hold: it has taken nothing, and there is nothing to give back. */
export const noHold = -1

export class Holds {
  readonly #tables: AdmissionTables
  readonly #cells: Int32Array
  readonly #free: number[] = []
  #used = 0

  constructor(tables: AdmissionTables, thread: number) {
    const cells = tables.holds[thread]
    if (cells === undefined) throw new Error('bug: a thread without holds')
    this.#tables = tables
    this.#cells = cells
  }

  /** An empty one, or `noHold`. */
  take(): number {
    const hold = this.#free.pop()
    if (hold !== undefined) return hold
    return this.#used * holdFields === this.#cells.length ? noHold : this.#used++
  }

  has(hold: number, field: number): boolean {
    return this.#cells[hold * holdFields + field] !== 0
  }

  /** @param value 1, or a row plus one */
  set(hold: number, field: number, value: number): void {
    this.#cells[hold * holdFields + field] = value
  }

  greeted(hold: number): void {
    greet(this.#tables, this.#cells, hold)
  }

  release(hold: number): void {
    release(this.#tables, this.#cells, hold)
    this.#free.push(hold)
  }
}

/** Gives back all that a thread had that has died. Another one may begin with its number. */
export function releaseThread(tables: AdmissionTables, thread: number): void {
  const cells = tables.holds[thread]
  if (cells === undefined) return
  unlockAll(tables.sources, thread)
  for (let hold = 0; hold < cells.length / holdFields; hold++) {
    // Most were never used, and memory that is only read takes none.
    if (cells.subarray(hold * holdFields, (hold + 1) * holdFields).some((cell) => cell !== 0)) release(tables, cells, hold)
  }
}

function release(tables: AdmissionTables, cells: Int32Array, hold: number): void {
  const at = hold * holdFields
  greet(tables, cells, hold)
  const tenant = (cells[at + holdField.tenant] ?? 0) - 1
  if (tenant !== -1) {
    Atomics.sub(tables.process, processCell.ofTenants, 1)
    if (Atomics.sub(tables.tenants, tenant, 1) === 1) Atomics.sub(tables.process, processCell.tenants, 1)
  }
  for (const field of [holdField.source, holdField.tenantSource]) {
    const source = (cells[at + field] ?? 0) - 1
    if (source !== -1) sourceLeft(tables.sources, source)
  }
  const listener = (cells[at + holdField.listener] ?? 0) - 1
  if (listener !== -1) Atomics.sub(tables.listeners, listener, 1)
  if (cells[at + holdField.isOpen] === 1) Atomics.sub(tables.process, processCell.open, 1)
  for (let field = at; field < at + holdFields; field++) cells[field] = 0
}

/** It is not before its hello any more. */
function greet(tables: AdmissionTables, cells: Int32Array, hold: number): void {
  const at = hold * holdFields
  if (cells[at + holdField.isBeforeHello] !== 1) return
  cells[at + holdField.isBeforeHello] = 0
  Atomics.sub(tables.process, processCell.beforeHello, 1)
  const source = (cells[at + holdField.source] ?? 0) - 1
  if (source !== -1) sourceGreeted(tables.sources, source)
}
