// What the thread of an agent's direct lane runs: the Linux driver's loop, and an observer that posts each record.

import type { WorkerObserver } from '../../relay/linux/relay-worker.ts'
import { startRelayWorker } from '../../relay/linux/start-relay-worker.ts'

const observer = (connectionEnded: (record: unknown) => void): WorkerObserver => ({ connectionEnded, flushIfDue: () => Infinity, flush: () => undefined })

startRelayWorker({ create: (_data, post) => observer(post), rehearse: () => observer(() => undefined) })
