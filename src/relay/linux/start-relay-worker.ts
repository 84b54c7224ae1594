// What a worker thread's module calls, and all that it does: the module is whose observer it makes.

import { parentPort, workerData } from 'node:worker_threads'
import { RelayWorker, type WorkerObserver } from './relay-worker.ts'
import type { FromWorker, RelayWorkerData } from './worker-protocol.ts'

/**
 * Relays until it is told to stop; only then returns.
 * @param createObserver gets `RelayWorkerData.observer`, and a way to tell something to the main thread
 */
export function startRelayWorker(createObserver: (data: unknown, post: (message: unknown) => void) => WorkerObserver): void {
  if (parentPort === null) throw new Error('a relay worker is a thread of its own')
  const port = parentPort
  const data: RelayWorkerData = workerData
  const post = (message: FromWorker): void => port.postMessage(message)
  new RelayWorker(data, post, createObserver(data.observer, (message) => post({ kind: 'observed', message }))).run()
}
