// A thread that enters and leaves one source again and again, and says how often it saw more inside than may be.

import { parentPort, workerData } from 'node:worker_threads'
import { sourceLeft, SourceTable, type SourceCells } from '../../../src/core/limit/source-table.ts'
import { source } from './admission-table.ts'

const { cells, thread }: { readonly cells: SourceCells; readonly thread: number } = workerData
const sources = new SourceTable(cells, { thread, nowNs: () => 0n })
const openMax = 2
const [here, openField, fieldsPerRow] = [source('192.0.2.1'), 3, 5]
let over = 0
for (let turn = 0; turn < 20_000; turn++) {
  const row = sources.enter(0, here, { openMax, beforeHelloMax: Infinity })
  if (row < 0) continue
  if ((cells.rows[row * fieldsPerRow + openField] ?? 0) > openMax) over += 1
  sourceLeft(cells, row)
}
parentPort?.postMessage(over)
