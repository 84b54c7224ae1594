// The table of sources: what happens when it is full, and which rows give way.

import { test } from 'tap'
import { Worker } from 'node:worker_threads'
import { createSourceCells, sourceFigures, sourceLeft, sourceOutcome, SourceTable, unlockAll } from '../../../src/core/limit/source-table.ts'
import { paceOf } from '../../../src/core/limit/shared-pace.ts'
import { source } from './admission-table.ts'

const free = { openMax: Infinity, beforeHelloMax: Infinity }

function small(): { readonly cells: ReturnType<typeof createSourceCells>; readonly sources: SourceTable; readonly clock: { ns: bigint } } {
  const cells = createSourceCells({ rows: 8, seeds: [3, 4] })
  const clock = { ns: 1_000_000_000n }
  return { cells, sources: new SourceTable(cells, { thread: 0, nowNs: () => clock.ns }), clock }
}

void test('a full table counts no newcomer, says so, and goes on with those that it has', async (t) => {
  const { cells, sources } = small()
  const rows = Array.from({ length: 8 }, (_, last) => sources.enter(0, source(`192.0.2.${last}`), { ...free, openMax: 1 }))
  t.same(new Set(rows).size, 8)
  t.equal(sources.enter(0, source('192.0.2.99'), { ...free, openMax: 0 }), sourceOutcome.untracked)
  t.same(sourceFigures(cells), { untracked: 1, forgotten: 0 })
  t.equal(sources.enter(0, source('192.0.2.3'), { ...free, openMax: 1 }), sourceOutcome.atOpenMax)
  sourceLeft(cells, rows[3] ?? -1)
  t.equal(sources.enter(0, source('192.0.2.99'), free), rows[3], 'an idle row is another’s')
})

void test('of idle rows the one goes first that was due first; one that its rate still holds back is counted as forgotten', async (t) => {
  const { cells, sources, clock } = small()
  const pace = paceOf({ perSecond: 1, burst: 1 })
  const rows = Array.from({ length: 8 }, (_, last) => {
    clock.ns += 10_000_000n
    const row = sources.enter(0, source(`192.0.2.${last}`), { ...free, pace })
    sourceLeft(cells, row)
    return row
  })
  t.equal(sources.enter(0, source('192.0.2.0'), { ...free, pace }), sourceOutcome.tooFast)
  const newcomer = sources.enter(0, source('192.0.2.99'), free)
  t.equal(newcomer, rows[0])
  t.same(sourceFigures(cells), { untracked: 0, forgotten: 1 })
  clock.ns += 10_000_000_000n
  t.equal(sources.enter(0, source('192.0.2.98'), free), rows[1])
  t.equal(sourceFigures(cells).forgotten, 1, 'at rest it holds nothing to forget')
})

void test('scopes do not share rows, and families do not either', async (t) => {
  const { sources } = small()
  const one = { ...free, openMax: 1 }
  const [ipv4, ipv6] = [source('0.0.0.1'), source('0:0:0:1::')]
  t.same([ipv4.low, ipv6.low], [1, 1])
  t.same([sources.enter(0, ipv4, one), sources.enter(1, ipv4, one), sources.enter(0, ipv6, one), sources.enter(0, ipv4, one)].map((row) => row >= 0), [true, true, true, false])
})

void test('a thread waits for a lock that another has, and a lock of a thread that died is opened', async (t) => {
  const { cells, sources } = small()
  Atomics.store(cells.locks, 0, 8)
  unlockAll(cells, 1)
  t.equal(cells.locks[0], 8, 'another thread’s stays')
  const opener = new Worker("const { workerData: locks } = require('node:worker_threads'); Atomics.wait(locks, 0, 8, 50); Atomics.store(locks, 0, 0)", { eval: true, workerData: cells.locks })
  t.ok(sources.enter(0, source('192.0.2.1'), free) >= 0)
  await opener.terminate()
  Atomics.store(cells.locks, 0, 8)
  unlockAll(cells, 7)
  t.ok(sources.enter(0, source('192.0.2.1'), free) >= 0)
})

void test('threads that meet in one row pass no cap', async (t) => {
  const cells = createSourceCells({ rows: 8, seeds: [3, 4] })
  const threads = [1, 2, 3].map((thread) => new Worker(new URL('source-table-thread.ts', import.meta.url), { workerData: { cells, thread } }))
  const over = await Promise.all(threads.map(async (worker) => await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })))
  t.same(over, [0, 0, 0])
  t.ok(cells.rows.every((cell, index) => index % 5 < 3 || cell === 0), 'all have left')
})
