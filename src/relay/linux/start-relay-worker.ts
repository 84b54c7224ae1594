// What a worker thread's module calls, and all that it does: the module is whose observers it makes.

import { Buffer } from 'node:buffer'
import { parentPort, workerData } from 'node:worker_threads'
import * as libc from './libc.ts'
import { RelayWorker, type WorkerObserver } from './relay-worker.ts'
import { warmUp } from './warm-up.ts'
import type { FromWorker, RelayWorkerData } from './worker-protocol.ts'

export interface WorkerObservers {
  /** Gets `RelayWorkerData.observer`, and a way to tell something to the main thread; `transferred` is what the message takes with it. */
  readonly create: (data: unknown, post: (message: unknown, transferred?: ArrayBuffer[]) => void) => WorkerObserver
  /** One of the same kind that tells nobody and counts in cells of its own, for connections on this table's listeners. */
  readonly rehearse: (data: unknown, listenerTable: SharedArrayBuffer) => WorkerObserver
}

/**
 * Memory that hellos are copied into which can't stay where they were read, some forty of them; node's own 8 KiB are used up by four,
 * and making such memory and collecting it costs more than a copy. A connection that is being set up may hold the memory of others
 * that are not any more.
 */
const helloPoolBytes = 64 * 1024

/** Relays until it is told to stop; only then returns. */
export function startRelayWorker({ create, rehearse }: WorkerObservers): void {
  if (parentPort === null) throw new Error('a relay worker is a thread of its own')
  const port = parentPort
  const data: RelayWorkerData = workerData
  Buffer.poolSize = helloPoolBytes
  const post = (message: FromWorker, transferred: ArrayBuffer[] = []): void => port.postMessage(message, transferred)
  try {
    if (data.warmUpMs > 0) rehearsal(data, post, rehearse)
    new RelayWorker(data, post, create(data.observer, (message, transferred) => post({ kind: 'observed', message }, transferred))).run()
  } finally {
    libc.freeAll()
  }
}

/** Nothing depends on it, so whatever fails in it is told, and that is all. */
function rehearsal(data: RelayWorkerData, post: (message: FromWorker) => void, rehearse: WorkerObservers['rehearse']): void {
  try {
    warmUp({ limitMs: data.warmUpMs, like: data, createObserver: (listenerTable) => rehearse(data.observer, listenerTable) })
  } catch (error) {
    post({ kind: 'failed', error: error instanceof Error ? error : new Error(String(error)), context: 'a worker was not warmed up: its first connections take longer' })
  }
}
