// What a worker thread of a driver counts, as cells in shared memory: the main thread reads them whenever it is asked, and
// the worker pays one addition to a plain number.
//
// Each thread has cells of its own, so each cell has one writer and needs no atomics. A 64-bit cell is read in one piece
// on every machine that Node runs on with 64 bits.

import { listenerRowsMax } from './listener-table.ts'
import type { RelayCounters } from './relay-observer.ts'

/** Cloning it, as for `workerData`, shares its memory. */
export type RelayCells = Float64Array<SharedArrayBuffer>

/** Where each number is. Their meaning is that of `RelayCounters`. */
export const relayCell = {
  bytesFromDownstream: 0,
  bytesFromUpstream: 1,
  dials: 2,
  dialFailures: 3,
  backpressurePauses: 4,
  acceptErrors: 5,
  acceptPauses: 6,
  splices: 7,
  pacedAccepts: 8,
  kernelLaneEntries: 9,
  kernelLaneLeavesBulky: 10,
  kernelLaneLeavesEnding: 11,
  kernelLaneLeavesSaturated: 12,
  busyPollHits: 13,
  busyPollMisses: 14,
  busyPollsShared: 15,
  sourceDrops: 16,
  sourceDropsMissed: 17,
  openConnections: 18,
  openConnectionsBeforeHello: 19,
  kernelLaneConnections: 20,
  sourcesDropped: 21,
  /** The first of `listenerRowsMax`: add the row that `ListenerTable` gives. */
  openByListener: 22,
} as const

export function createRelayCells(): RelayCells {
  const cells = relayCell.openByListener + listenerRowsMax
  return new Float64Array(new SharedArrayBuffer(cells * Float64Array.BYTES_PER_ELEMENT))
}

/** Before another worker goes on with the cells of one that has died: its totals stay, its connections are gone, and nobody is dropped. */
export function clearOpenConnections(cells: RelayCells): void {
  cells.fill(0, relayCell.openConnections)
}

/** @param listenerNames by row: `ListenerTable.names()` */
export function sumRelayCounters(cells: readonly RelayCells[], listenerNames: ReadonlyMap<number, string>, connectionsMax: number): RelayCounters {
  const sum = (cell: number): number => cells.reduce((total, each) => total + (each[cell] ?? 0), 0)
  return {
    openConnections: sum(relayCell.openConnections),
    openConnectionsBeforeHello: sum(relayCell.openConnectionsBeforeHello),
    openConnectionsByListener: new Map(Array.from(listenerNames, ([row, name]) => [name, sum(relayCell.openByListener + row)])),
    connectionsMax,
    bytesFromDownstream: sum(relayCell.bytesFromDownstream),
    bytesFromUpstream: sum(relayCell.bytesFromUpstream),
    dials: sum(relayCell.dials),
    dialFailures: sum(relayCell.dialFailures),
    backpressurePauses: sum(relayCell.backpressurePauses),
    acceptErrors: sum(relayCell.acceptErrors),
    acceptPauses: sum(relayCell.acceptPauses),
    splices: sum(relayCell.splices),
    pacedAccepts: sum(relayCell.pacedAccepts),
    kernelLaneConnections: sum(relayCell.kernelLaneConnections),
    kernelLaneEntries: sum(relayCell.kernelLaneEntries),
    kernelLaneLeaves: {
      bulky: sum(relayCell.kernelLaneLeavesBulky),
      ending: sum(relayCell.kernelLaneLeavesEnding),
      saturated: sum(relayCell.kernelLaneLeavesSaturated),
    },
    sourcesDropped: sum(relayCell.sourcesDropped),
    sourceDrops: sum(relayCell.sourceDrops),
    sourceDropsMissed: sum(relayCell.sourceDropsMissed),
    busyPolls: { hit: sum(relayCell.busyPollHits), miss: sum(relayCell.busyPollMisses), shared: sum(relayCell.busyPollsShared) },
  }
}
