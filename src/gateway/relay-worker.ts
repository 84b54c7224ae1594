// What a relay worker's thread runs: the driver's loop, and an observer that counts in shared memory and gathers lines.

import { WorkerObserver, type WorkerObserverData } from '../observe/worker-observer.ts'
import { startRelayWorker } from '../relay/linux/start-relay-worker.ts'

startRelayWorker((data, post) => new WorkerObserver(data as WorkerObserverData, post))
