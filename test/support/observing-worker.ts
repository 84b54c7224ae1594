// A thread that never turns its event loop, as one that waits in the system for its sockets: all that is heard of it is what
// it posts and what it counts.

import { workerData, type MessagePort } from 'node:worker_threads'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { WorkerObserver, type WorkerObserverData } from '../../src/observe/worker-observer.ts'

export interface ObservingWorkerData {
  readonly observer: WorkerObserverData
  readonly port: MessagePort
  readonly records: readonly ConnectionRecord[]
  readonly failures: number
  /** Set to 1 by the test when the thread may end. */
  readonly end: Int32Array
}

const { observer: data, port, records, failures, end }: ObservingWorkerData = workerData
const observer = new WorkerObserver(data, (message, transferred) => port.postMessage(message, transferred))
for (let index = 0; index < failures; index++) observer.driverError(new Error('too many open files'), 'accept on a:1')
for (const record of records) observer.connectionEnded(record)
for (let waitMs = observer.flushIfDue(performance.now()); waitMs !== Infinity; waitMs = observer.flushIfDue(performance.now())) Atomics.wait(end, 0, 0, waitMs)
Atomics.wait(end, 0, 0)
