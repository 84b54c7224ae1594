// Closed loop: every connection sends its next request as soon as the answer to the last one is whole. As many requests
// as go through; a relay that stalls is asked less, so its latencies here flatter it (the paced load's do not).

import { EchoPool } from './echo-pool.ts'
import type { Load, LoadSpec, LoadTally, LoadTarget } from './load.ts'
import { Tally } from './tally.ts'

type EchoSpec = Extract<LoadSpec, { kind: 'echo' | 'idle' }>

export class EchoLoad implements Load {
  readonly #spec: EchoSpec
  readonly #tally = new Tally()
  readonly #pool: EchoPool
  #running = false

  /** An idle load is an echo load that is never started. */
  constructor(spec: EchoSpec, target: LoadTarget) {
    this.#spec = spec
    this.#pool = new EchoPool({
      target,
      tally: this.#tally,
      payloadBytes: spec.kind === 'idle' ? 4 : spec.payloadBytes,
      onAnswer: (connection, atMs) => {
        this.#tally.timed(connection.sentAtMs, atMs)
        if (this.#running) connection.request(atMs)
      },
    })
  }

  async prepare(): Promise<void> {
    await this.#pool.open(this.#spec.connections)
  }

  start(): void {
    if (this.#spec.kind === 'idle') return
    this.#running = true
    for (const connection of this.#pool.connections) connection.request(performance.now())
  }

  openWindow(): void {
    this.#tally.openWindow()
  }

  closeWindow(): void {
    this.#running = false
    this.#tally.closeWindow()
  }

  async finish(): Promise<void> {
    await this.#pool.settle()
    this.#pool.resetAll()
  }

  tally(): LoadTally {
    return this.#tally.result()
  }
}
