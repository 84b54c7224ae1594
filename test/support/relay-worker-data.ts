// What the driver gives a relay worker, with what a test says of it.

import { createAdmissionTables } from '../../src/core/limit/admission-tables.ts'
import { createRelayCells } from '../../src/core/relay-cells.ts'
import { createDescriptors } from '../../src/relay/linux/descriptors.ts'
import type { RelayWorkerData } from '../../src/relay/linux/worker-protocol.ts'

export function relayWorkerData({ slots, ...its }: Pick<RelayWorkerData, 'slots' | 'wakeFd' | 'port' | 'listenerTable'> & Partial<RelayWorkerData>): RelayWorkerData {
  return {
    worker: 0, slots, pipes: 1, connectionsMax: slots, handsOver: false, kernelLane: 'off', busyPollUs: 0, idPrefix: 'c-', warmUpMs: 0,
    descriptors: createDescriptors(slots), cells: [createRelayCells()], slotsUsed: new Int32Array(new SharedArrayBuffer(4)), observer: undefined,
    admission: createAdmissionTables({ connectionsMax: slots, listenerRows: 1, tenantRows: 1, holds: [slots], seeds: [1, 2] }),
    ...its,
  }
}
