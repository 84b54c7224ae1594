// The sleeping half of pacer.ts.

import { parentPort, workerData } from 'node:worker_threads'
import { pacerCells } from './pacer-cells.ts'

const { shared, periodMs }: { shared: SharedArrayBuffer, periodMs: number } = workerData
const cells = new Int32Array(shared)

parentPort?.postMessage(0)
Atomics.wait(cells, pacerCells.state, pacerCells.waiting)
const firstMs = (new Float64Array(shared)[pacerCells.first] ?? 0) - performance.timeOrigin
let ticks = 0
while (Atomics.load(cells, pacerCells.state) === pacerCells.running) {
  const waitMs = firstMs + ticks * periodMs - performance.now()
  if (waitMs > 0) {
    Atomics.wait(cells, pacerCells.state, pacerCells.running, waitMs)
    continue
  }
  if (Atomics.exchange(cells, pacerCells.pending, 1) === 0) parentPort?.postMessage(0)
  // A sleep that took too long is not made up for: one tick serves all that is due.
  ticks = Math.max(ticks + 1, Math.ceil((performance.now() - firstMs) / periodMs))
}
