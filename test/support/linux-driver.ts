// The Linux driver as tests make it: its workers' records come to the observer in the main thread.

import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { ListenerTable } from '../../src/core/listener-table.ts'
import { LinuxDriver } from '../../src/relay/linux/linux-driver.ts'
import type { DriverOptions } from './relay.ts'

export function createLinuxDriver({ observer, connectionsMax, newConnectionId }: DriverOptions, workers = 1): LinuxDriver {
  return new LinuxDriver({
    workers,
    connectionsMax,
    idPrefix: newConnectionId(),
    workerEntry: new URL('linux-relay-worker.ts', import.meta.url),
    workerObserver: () => undefined,
    listenerTable: new ListenerTable(),
    observed: (message) => observer.connectionEnded(message as ConnectionRecord),
    failed: (error, context) => observer.driverError(error, context),
  })
}
