// A relay worker whose observer posts every record to the main thread, for tests that look at them.

import { startRelayWorker } from '../../src/relay/linux/start-relay-worker.ts'

startRelayWorker((_data, post) => ({
  connectionEnded: post,
  flushIfDue: () => Infinity,
  flush: () => undefined,
}))
