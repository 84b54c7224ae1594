// One worker as the main thread sees it: requests and answers, the eventfd that wakes it, and what is left when it dies.

import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads'
import { closeDescriptors, createDescriptors, descriptorsIn } from './descriptors.ts'
import * as libc from './libc.ts'
import type { FromWorker, RelayWorkerData, ToWorker, WorkerAnswer, WorkerRequest } from './worker-protocol.ts'

/**
 * Of a worker's heap: 4 MiB of garbage between two collections, as some 400 connections make that are set up. With a third
 * of it each takes a twelfth more CPU. What lives long is in typed arrays, so collecting often costs little.
 */
const youngGenerationMb = 12

/** The worker ended before it answered. */
export class WorkerDiedError extends Error {
  readonly code = 'WORKER_DIED'
}

export interface WorkerHandleOptions {
  /** A module that calls `startRelayWorker`. */
  readonly entry: URL
  readonly data: Omit<RelayWorkerData, 'wakeFd' | 'port' | 'descriptors'>
  readonly received: (message: Exclude<FromWorker, { kind: 'answer' }>) => void
  /** It has ended without having been told to; everything that it had open is closed. */
  readonly died: (error: Error) => void
}

interface Pending {
  readonly resolve: (value: WorkerAnswer) => void
  readonly reject: (error: Error) => void
}

export class WorkerHandle {
  readonly #options: WorkerHandleOptions
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #wakeFd = libc.check(libc.eventfd(0, libc.EFD_NONBLOCK | libc.EFD_CLOEXEC), 'eventfd')
  readonly #one = libc.allocate(8)
  readonly #descriptors: SharedArrayBuffer
  readonly #pending = new Map<number, Pending>()
  #requests = 0
  #stopping = false
  #ended = false
  #error: Error | undefined

  constructor(options: WorkerHandleOptions) {
    this.#options = options
    this.#one.bytes[0] = 1
    this.#descriptors = createDescriptors(options.data.slots)
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const data: RelayWorkerData = { ...options.data, wakeFd: this.#wakeFd, port: port2, descriptors: this.#descriptors }
    this.#worker = new Worker(options.entry, { workerData: data, transferList: [port2], resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb }, name: `sluice-relay-${options.data.worker}` })
    this.#worker.on('message', (message: FromWorker) => this.#received(message))
    this.#worker.on('error', (error: Error) => {
      this.#error = error
    })
    this.#worker.once('exit', (code) => this.#exited(code))
  }

  /** @throws {WorkerDiedError} */
  async request<Request extends WorkerRequest>(request: Request): Promise<WorkerAnswer<Request['kind']>> {
    if (this.#ended) throw new WorkerDiedError('the worker has ended')
    const number = ++this.#requests
    const answer = await new Promise<WorkerAnswer>((resolve, reject) => {
      this.#pending.set(number, { resolve, reject })
      this.tell({ kind: 'request', number, request })
    })
    return answer as WorkerAnswer<Request['kind']>
  }

  tell(message: ToWorker): void {
    if (this.#ended) return
    this.#port.postMessage(message)
    libc.write(this.#wakeFd, this.#one.address, 8)
  }

  /** Every connection ends, and then the thread. */
  async stop(): Promise<void> {
    if (this.#ended) return
    this.#stopping = true
    // Not events.once, which would reject for an error that precedes it.
    const exited = new Promise<void>((resolve) => {
      this.#worker.once('exit', () => resolve())
    })
    await this.request({ kind: 'stop' }).catch(() => undefined)
    await exited
  }

  /** From a process that is about to end and would wait for a thread that waits for events. */
  stopAtExit(): void {
    this.#stopping = true
    this.tell({ kind: 'request', number: ++this.#requests, request: { kind: 'stop' } })
  }

  #received(message: FromWorker): void {
    if (message.kind !== 'answer') {
      this.#options.received(message)
      return
    }
    const pending = this.#pending.get(message.number)
    this.#pending.delete(message.number)
    if (message.error === undefined) pending?.resolve(message.value)
    else pending?.reject(new Error(message.error))
  }

  #exited(code: number): void {
    this.#ended = true
    this.#port.close()
    libc.close(this.#wakeFd)
    libc.free(this.#one)
    closeDescriptors(descriptorsIn(this.#descriptors, this.#options.data.slots))
    const error = new WorkerDiedError(`the worker ended with ${this.#error?.message ?? `exit code ${code}`}`, { cause: this.#error })
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    for (const { reject } of pending) reject(error)
    if (!this.#stopping) this.#options.died(error)
  }
}
