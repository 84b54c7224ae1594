// What a relay worker's thread runs: the driver's loop, and an observer that counts in shared memory and gathers lines.

import { createConnectionCells } from '../observe/connection-cells.ts'
import { WorkerObserver, type WorkerObserverData } from '../observe/worker-observer.ts'
import { startRelayWorker } from '../relay/linux/start-relay-worker.ts'

/** So small that a rehearsal fills some. */
const rehearsedBatchBytesMax = 16 * 1024

startRelayWorker({
  create: (data, post) => new WorkerObserver(data as WorkerObserverData, post),
  rehearse: (data, listeners) => new WorkerObserver({ ...data as WorkerObserverData, cells: createConnectionCells(), listeners }, () => undefined, { batchBytesMax: rehearsedBatchBytesMax }),
})
