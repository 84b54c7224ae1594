// A worker's snapshot, and changes of it that are taken in a step a turn, so that relaying goes on in between.

import { snapshotChangeSteps, type SnapshotChangeOptions } from '../../core/snapshot-change.ts'
import type { Snapshot, SnapshotChange } from '../../core/snapshot.ts'

export class SnapshotPublisher {
  readonly #options: SnapshotChangeOptions
  readonly #published: (request: number, snapshot: Snapshot) => void
  #snapshot: Snapshot | undefined
  #publishing: { readonly request: number; readonly steps: Generator<void, Snapshot, void> } | undefined

  /** @param published connections that are accepted from now on use what the request asked for */
  constructor(options: SnapshotChangeOptions, published: (request: number, snapshot: Snapshot) => void) {
    this.#options = options
    this.#published = published
  }

  /** Undefined before the first change. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  get isBusy(): boolean {
    return this.#publishing !== undefined
  }

  begin(request: number, changes: readonly SnapshotChange[]): void {
    if (this.#publishing !== undefined) throw new Error('bug: one change after the other')
    this.#publishing = { request, steps: this.#steps(changes) }
    this.step()
  }

  step(): void {
    const publishing = this.#publishing
    if (publishing === undefined) return
    const step = publishing.steps.next()
    if (step.done !== true) return
    this.#snapshot = step.value
    this.#publishing = undefined
    this.#published(publishing.request, step.value)
  }

  /** Each change begins with what the one before has made. */
  * #steps(changes: readonly SnapshotChange[]): Generator<void, Snapshot, void> {
    let snapshot = this.#snapshot
    for (const change of changes) snapshot = yield* snapshotChangeSteps(snapshot, change, this.#options)
    if (snapshot === undefined) throw new Error('bug: nothing to publish')
    return snapshot
  }
}
