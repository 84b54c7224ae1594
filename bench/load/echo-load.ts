// Closed loop: every connection sends its next request as soon as the answer to the last one is whole. As many requests
// as go through; a relay that stalls is asked less, so its latencies here flatter it (the paced load's do not).

import { echoState, EchoPool } from './echo-pool.ts'
import { waitMsMax } from './event-loop.ts'
import type { Load, LoadParts, LoadSpec, LoadTally } from './load.ts'
import { Tally } from './tally.ts'

type EchoSpec = Extract<LoadSpec, { kind: 'echo' | 'idle' }>

export class EchoLoad implements Load {
  readonly #spec: EchoSpec
  readonly #tally = new Tally()
  readonly #pool: EchoPool
  #running = false

  /** An idle load is an echo load that is never started. */
  constructor({ spec, target, loop }: LoadParts<EchoSpec>) {
    this.#spec = spec
    this.#pool = new EchoPool({
      loop,
      target,
      tally: this.#tally,
      connections: spec.connections,
      payloadBytes: spec.kind === 'idle' ? 4 : spec.payloadBytes,
      onAnswer: (slot, atMs) => {
        this.#tally.timed(this.#pool.sentAtMs[slot] ?? 0, atMs)
        if (this.#running) this.#pool.request(slot, atMs)
      },
      beforeWait: () => waitMsMax,
    })
  }

  async prepare(): Promise<void> {
    await this.#pool.open()
  }

  start(): void {
    if (this.#spec.kind === 'idle') return
    this.#running = true
    this.#pool.state.forEach((state, slot) => {
      if (state === echoState.free) this.#pool.request(slot, performance.now())
    })
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
    this.#pool.close()
  }

  tally(): LoadTally {
    return this.#tally.result()
  }
}
