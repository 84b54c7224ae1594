import { test } from 'tap'
import { clearOpenConnections, createRelayCells, relayCell, sumRelayCounters } from '../../src/core/relay-cells.ts'

const names = new Map([[0, 'a:1'], [1, 'b:2']])

function filled(factor: number) {
  const cells = createRelayCells()
  for (const cell of Object.values(relayCell)) cells[cell] = (cell + 1) * factor
  cells[relayCell.openByListener + 1] = 5 * factor
  return cells
}

void test('what several threads count is one sum', async (t) => {
  t.same(sumRelayCounters([filled(1), filled(100)], names, 9_872), {
    bytesFromDownstream: 101, bytesFromUpstream: 202, dials: 303, dialFailures: 404, backpressurePauses: 505, acceptErrors: 606, acceptPauses: 707, splices: 808,
    pacedAccepts: 909, kernelLaneEntries: 1_010, kernelLaneLeaves: { bulky: 1_111, ending: 1_212, saturated: 1_313 },
    busyPolls: { hit: 1_414, miss: 1_515, shared: 1_616 },
    sourceDrops: 1_717, sourceDropsMissed: 1_818,
    openConnections: 1_919, openConnectionsBeforeHello: 2_020, kernelLaneConnections: 2_121, sourcesDropped: 2_222, openConnectionsByListener: new Map([['a:1', 2_323], ['b:2', 505]]), connectionsMax: 9_872,
  })
})

void test('a clone shares the cells', async (t) => {
  const cells = createRelayCells()
  const clone = structuredClone(cells)
  clone[relayCell.dials] = 7
  t.equal(sumRelayCounters([cells], names, 1).dials, 7)
})

void test('a worker that died leaves its totals and no open connection', async (t) => {
  const cells = filled(1)
  clearOpenConnections(cells)
  t.match(sumRelayCounters([cells], names, 1), {
    bytesFromUpstream: 2, splices: 8, pacedAccepts: 9, kernelLaneEntries: 10, sourceDrops: 17, kernelLaneConnections: 0, sourcesDropped: 0, openConnections: 0, openConnectionsBeforeHello: 0, openConnectionsByListener: new Map([['a:1', 0], ['b:2', 0]]),
  })
})
