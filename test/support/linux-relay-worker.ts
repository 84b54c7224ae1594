// A relay worker whose observer posts every record to the main thread, for tests that look at them.

import { startRelayWorker } from '../../src/relay/linux/start-relay-worker.ts'
import type { WorkerObserver } from '../../src/relay/linux/relay-worker.ts'

const observer = (connectionEnded: (record: unknown) => void): WorkerObserver => ({ connectionEnded, flushIfDue: () => Infinity, flush: () => undefined })

startRelayWorker({ create: (_data, post) => observer(post), rehearse: () => observer(() => undefined) })
