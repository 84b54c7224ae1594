// Wakes a thread more often than once a millisecond, which is as fine as Node's timers are. A thread of its own sleeps in
// Atomics.wait (a futex, precise to some 60 µs) and sends a message; one that has not been taken yet is not sent again.
// Spinning would be more precise, and would take a core from what is measured.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { pacerCells } from './pacer-cells.ts'

/** Finer periods are not reached anyway. */
const periodMinMs = 0.1

export interface PacerOptions {
  readonly periodMs: number
  readonly onTick: () => void
}

export class Pacer {
  readonly #shared = new SharedArrayBuffer(pacerCells.byteLength)
  readonly #cells = new Int32Array(this.#shared)
  readonly #worker: Worker
  readonly #ready: Promise<unknown>

  constructor({ periodMs, onTick }: PacerOptions) {
    this.#worker = new Worker(new URL('pacer-thread.ts', import.meta.url), {
      workerData: { shared: this.#shared, periodMs: Math.max(periodMs, periodMinMs) },
    })
    this.#ready = once(this.#worker, 'message')
    // The first message says that the thread is there; the others are ticks.
    this.#worker.on('message', () => {
      Atomics.store(this.#cells, pacerCells.pending, 0)
      if (Atomics.load(this.#cells, pacerCells.state) === pacerCells.running) onTick()
    })
  }

  /** Resolves when the thread is there, and waits for `start`. */
  async ready(): Promise<void> {
    await this.#ready
  }

  /** @param firstMs when the first tick is due, of performance.now(); the others follow in periods */
  start(firstMs: number): void {
    new Float64Array(this.#shared)[pacerCells.first] = performance.timeOrigin + firstMs
    this.#set(pacerCells.running)
  }

  /** Ends the thread. */
  stop(): void {
    this.#set(pacerCells.stopped)
  }

  #set(state: number): void {
    Atomics.store(this.#cells, pacerCells.state, state)
    Atomics.notify(this.#cells, pacerCells.state)
  }
}
