// Metrics that several threads count in cells: the text is the one that prom-client's own metrics give for the same events.

import fc from 'fast-check'
import { Counter, Histogram, Registry } from 'prom-client'
import { test } from 'tap'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { ListenerTable, listenerRowsMax } from '../../src/core/listener-table.ts'
import { terminationOf, terminations, type TerminationReason } from '../../src/core/termination.ts'
import { countConnection, createConnectionCells } from '../../src/observe/connection-cells.ts'
import { registerConnectionMetrics } from '../../src/observe/connection-metrics.ts'
import { ConnectionTotals } from '../../src/observe/connection-totals.ts'

const reasons = Object.keys(terminations) as TerminationReason[]
const listenerNames = ['[::]:6443', '0.0.0.0:7443']
const client = { address: '192.0.2.7', port: 40_000 }
const record: ConnectionRecord = {
  id: 'c1', reason: 'completed', closedBy: 'downstream', listener: '[::]:6443', downstream: client, client, encryptedClientHello: false,
  attempts: 1, snapshotVersion: 3, acceptedAtMs: 0, totalMs: 2_000, bytesFromDownstream: 517, bytesFromUpstream: 4_000,
}

async function textOf(threads: readonly (readonly ConnectionRecord[])[], names: readonly string[] = listenerNames): Promise<string> {
  const listeners = new ListenerTable()
  for (const name of names) listeners.add(name)
  const cells = threads.map((records) => {
    const own = createConnectionCells()
    const table = new ListenerTable(listeners.buffer)
    for (const each of records) countConnection(own, table, each)
    return own
  })
  const registry = new Registry()
  registerConnectionMetrics({ registry, totals: new ConnectionTotals(cells), listeners })
  return await registry.metrics()
}

async function expectedText(records: readonly ConnectionRecord[]): Promise<string> {
  const registry = new Registry()
  const registers = [registry]
  const handshake = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
  const connections = new Counter({ name: 'sluice_connections_total', help: 'Connections that have ended, by listener and outcome', labelNames: ['listener', 'outcome'], registers })
  const refused = new Counter({ name: 'sluice_connections_refused_total', help: 'Connections that reached no API server, by termination reason', labelNames: ['reason'], registers })
  const aborted = new Counter({ name: 'sluice_connections_aborted_total', help: 'Connections to an API server that did not end in good order, by termination reason', labelNames: ['reason'], registers })
  const hello = new Histogram({ name: 'sluice_hello_seconds', help: 'Accept to whole ClientHello', buckets: handshake, registers })
  const connect = new Histogram({ name: 'sluice_connect_seconds', help: 'First dial to the connection that was used', buckets: handshake, registers })
  const duration = new Histogram({
    name: 'sluice_connection_duration_seconds', help: 'Accept to end, of connections that reached an API server',
    buckets: [0.01, 0.1, 1, 10, 60, 300, 600, 1_800, 3_600, 14_400, 86_400], registers,
  })
  for (const listener of listenerNames) for (const outcome of ['completed', 'aborted', 'refused', 'failed']) connections.inc({ listener, outcome }, 0)
  const answered = (reason: TerminationReason): boolean => ['completed', 'aborted'].includes(terminationOf(reason).outcome)
  for (const reason of reasons.filter((each) => !answered(each))) refused.inc({ reason }, 0)
  for (const reason of reasons.filter((each) => terminationOf(each).outcome === 'aborted')) aborted.inc({ reason }, 0)
  for (const { listener, reason, helloMs, connectMs, totalMs } of records) {
    connections.inc({ listener, outcome: terminationOf(reason).outcome })
    if (answered(reason)) duration.observe(totalMs / 1_000)
    else refused.inc({ reason })
    if (terminationOf(reason).outcome === 'aborted') aborted.inc({ reason })
    if (helloMs !== undefined) hello.observe(helloMs / 1_000)
    if (connectMs !== undefined) connect.observe(connectMs / 1_000)
  }
  return await registry.metrics()
}

/** Whole eighths of a second, so that sums are the same in any order; bounds of buckets among them. */
const durationMs = fc.oneof(fc.nat(1_000_000).map((eighths) => eighths * 125), fc.constantFrom(0, 250, 500, 1_000, 10_000, 86_400_000))
const records = fc.array(fc.record({
  reason: fc.constantFrom(...reasons), listener: fc.constantFrom(...listenerNames), totalMs: durationMs, helloMs: durationMs, connectMs: durationMs,
}, { requiredKeys: ['reason', 'listener', 'totalMs'] }).map(recordOf), { maxLength: 30 })

function recordOf(fields: Partial<ConnectionRecord>): ConnectionRecord {
  return { ...record, ...fields }
}

void test('the text is prom-client’s, whichever threads the connections ended in', async (t) => {
  await fc.assert(fc.asyncProperty(fc.array(records, { minLength: 1, maxLength: 4 }), async (threads) => {
    const [text, expected] = await Promise.all([textOf(threads), expectedText(threads.flat())])
    if (text !== expected) t.equal(text, expected)
    return text === expected
  }))
})

void test('a duration on a bucket’s bound is in that bucket', async (t) => {
  const text = await textOf([[{ ...record, helloMs: 0.25, totalMs: 86_400_000 }, { ...record, helloMs: 5_001, totalMs: 86_400_001 }]])
  for (const [bucket, count] of [
    ['hello_seconds_bucket{le="0.00025"}', 1], ['hello_seconds_bucket{le="5"}', 1], ['hello_seconds_bucket{le="+Inf"}', 2],
    ['connection_duration_seconds_bucket{le="14400"}', 0], ['connection_duration_seconds_bucket{le="86400"}', 1], ['connection_duration_seconds_count', 2],
  ] as const) {
    t.match(text, `sluice_${bucket} ${count}\n`)
  }
})

void test('connections of listeners beyond the table are counted as other', async (t) => {
  const names = Array.from({ length: listenerRowsMax + 50 }, (_, index) => `127.0.0.1:${index + 1}`)
  const text = await textOf(names.map((listener) => [{ ...record, listener }]), names)
  t.match(text, 'sluice_connections_total{listener="127.0.0.1:255",outcome="completed"} 1\n')
  t.match(text, `sluice_connections_total{listener="other",outcome="completed"} ${names.length - 255}\n`)
})
