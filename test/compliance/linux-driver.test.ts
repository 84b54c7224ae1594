import { Worker } from 'node:worker_threads'
import { socketOf } from '../../src/relay/linux/handed-over-socket.ts'
import { driverName } from '../support/linux-only.ts'
import { createLinuxDriver } from '../support/linux-driver.ts'
import type { HandedOverDescriptor } from '../support/tunnel-thread.ts'
import { directLaneSuite } from './direct-lane-suite.ts'
import { handOverSuite } from './hand-over-suite.ts'
import { limitSuite } from './limit-suite.ts'
import { liveSuite } from './live-suite.ts'
import { relaySuite } from './relay-suite.ts'

relaySuite(driverName, (options) => createLinuxDriver(options))
limitSuite(driverName, (options) => createLinuxDriver(options))
liveSuite(driverName, (options) => createLinuxDriver(options))

handOverSuite(driverName, (t, certificate) => {
  const thread = new Worker(new URL('../support/tunnel-thread.ts', import.meta.url), { workerData: certificate })
  t.teardown(async () => await thread.terminate())
  return (options) => createLinuxDriver({
    ...options,
    handOver: ({ head }, fd) => thread.postMessage({ fd, head } satisfies HandedOverDescriptor),
  })
})

directLaneSuite(driverName, (options, taken) => createLinuxDriver({ ...options, handOver: ({ head }, fd) => taken(socketOf(fd, head)) }))
