// The gateway's end of the thread that checks endpoints (health-worker.ts). It is there as long as there is anything to check; one that dies is
// replaced by another, which begins anew with all targets: what is known of them stays until it knows better.

import { Worker } from 'node:worker_threads'
import type { DialNewsKind } from '../core/balance/dial-news.ts'
import type { CheckTarget, TargetChange } from '../core/balance/endpoint-register.ts'
import type { HealthNews } from '../health/health-loop.ts'
import type { HealthWorkerData, ToHealthThread } from './health-worker.ts'

/** A thread that dies again and again is replaced after 1, 2, 4 … times this, but not over `restartDelayMsMax`. */
const restartDelayMs = 50
const restartDelayMsMax = 10_000
/** A thread that has lived so long counts as sound. */
const soundAfterMs = 60_000

export interface HealthThreadOptions extends HealthWorkerData {
  readonly received: (message: HealthNews) => void
  readonly died: (error: Error) => void
}

export class HealthThread {
  readonly #options: HealthThreadOptions
  readonly #targets = new Map<number, CheckTarget>()
  readonly #down = new Set<number>()
  #worker: Worker | undefined
  #startedMs = 0
  #deaths = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: HealthThreadOptions) {
    this.#options = options
  }

  change({ added, removed, down }: TargetChange): void {
    for (const id of removed) {
      this.#targets.delete(id)
      this.#down.delete(id)
    }
    const checked = added.filter(({ health }) => health !== undefined)
    for (const target of checked) this.#targets.set(target.id, target)
    for (const id of down) this.#down.add(id)
    if (this.#worker !== undefined) this.#post({ kind: 'targets', added: checked, removed, down })
    else if (this.#targets.size > 0 && this.#timer === undefined) this.#start()
  }

  /** What clients' dials have come to. */
  clients(ids: readonly number[], how: DialNewsKind): void {
    this.#post({ kind: 'clients', ids, how })
  }

  /** It throws as a bug would, to see what happens then. */
  crash(): void {
    this.#post({ kind: 'crash' })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    const worker = this.#worker
    if (worker === undefined) return
    this.#post({ kind: 'stop' })
    this.#worker = undefined
    worker.ref()
    await new Promise<void>((resolve) => {
      worker.once('exit', () => resolve())
    })
  }

  #post(message: ToHealthThread): void {
    this.#worker?.postMessage(message)
  }

  #start(): void {
    this.#timer = undefined
    if (this.#isClosed) return
    const { folder } = this.#options
    const worker = new Worker(new URL('health-worker.ts', import.meta.url), { workerData: { folder } satisfies HealthWorkerData })
    this.#worker = worker
    this.#startedMs = performance.now()
    worker.on('message', (message: HealthNews) => {
      if (worker === this.#worker) this.#received(message)
    })
    worker.on('error', (error: Error) => this.#died(worker, error))
    worker.on('exit', (code) => this.#died(worker, new Error(`it has ended (exit ${code})`)))
    // The process may end while it checks.
    worker.unref()
    this.#post({ kind: 'targets', added: [...this.#targets.values()], removed: [], down: [...this.#down] })
  }

  #received(message: HealthNews): void {
    for (const { id, isDown } of message.updates) {
      if (isDown && this.#targets.has(id)) this.#down.add(id)
      else this.#down.delete(id)
    }
    this.#options.received(message)
  }

  #died(worker: Worker, error: Error): void {
    if (worker !== this.#worker) return
    this.#worker = undefined
    this.#deaths = performance.now() - this.#startedMs > soundAfterMs ? 1 : this.#deaths + 1
    this.#options.died(error)
    this.#timer = setTimeout(() => this.#start(), Math.min(restartDelayMsMax, restartDelayMs * 2 ** (this.#deaths - 1))).unref()
  }
}
