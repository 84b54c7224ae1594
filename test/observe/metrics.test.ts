// The metrics as Prometheus reads them: every foreseeable series from the start, live counters, no label of a peer's choice.

import { test } from 'tap'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { ListenerTable } from '../../src/core/listener-table.ts'
import type { RelayCounters } from '../../src/core/relay-observer.ts'
import { terminations } from '../../src/core/termination.ts'
import { countConnection, countSuppressedLine, createConnectionCells } from '../../src/observe/connection-cells.ts'
import { ConnectionTotals } from '../../src/observe/connection-totals.ts'
import { Metrics } from '../../src/observe/metrics.ts'

const client = { address: '192.0.2.7', port: 40_000 }
const record: ConnectionRecord = {
  id: 'c1', reason: 'completed', closedBy: 'downstream', listener: 'a:1', downstream: client, client, serverName: 'evil"} 1\n', encryptedClientHello: false,
  tenant: 'acme', endpoint: '10.1.0.11:31443', attempts: 1, snapshotVersion: 3, acceptedAtMs: 0, helloMs: 3, connectMs: 0.3, totalMs: 2_000,
  bytesFromDownstream: 517, bytesFromUpstream: 4_000,
}

const counters: RelayCounters = {
  openConnections: 5, openConnectionsBeforeHello: 2, openConnectionsByListener: new Map([['a:1', 3], ['b:2', 2]]), connectionsMax: 9_872,
  bytesFromDownstream: 100, bytesFromUpstream: 200, dials: 7, dialFailures: 1, backpressurePauses: 4, acceptErrors: 0,
}

interface Observed {
  readonly metrics: Metrics
  readonly ended: (record: ConnectionRecord) => void
}

function observe(relay: () => RelayCounters = () => counters): Observed {
  const cells = createConnectionCells()
  const listeners = new ListenerTable()
  listeners.add('a:1')
  for (const reason of ['hello-not-tls', 'hello-not-tls', 'hello-timeout'] as const) countSuppressedLine(cells, reason)
  const metrics = new Metrics({
    version: '1.2.3',
    sources: {
      relay,
      snapshot: () => ({ version: 6, publishedAtMs: Date.now() - 5_000, tenants: 3, hostnames: 4 }),
      limits: () => ({ openConnections: 5, openConnectionsBeforeHello: 2, openOfTenants: 8, tenantsWithConnections: 7, connectionsMax: 9_000, untracked: 12, forgotten: 13, retries: 14, retriesRefused: 15 }),
    },
    totals: new ConnectionTotals([cells]),
    listeners,
  })
  return { metrics, ended: (record) => countConnection(cells, listeners, record) }
}

/** Sample lines as a map; throws on what is no line of the text format. */
async function samples(metrics: Metrics): Promise<ReadonlyMap<string, number>> {
  const text = await metrics.text()
  const found = new Map<string, number>()
  for (const line of text.split('\n').filter((each) => each !== '' && !each.startsWith('# '))) {
    const match = /^([a-zA-Z_:][\w:]*(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)$/.exec(line)
    if (match === null) throw new Error(`no sample: ${line}`)
    found.set(match[1] ?? '', Number(match[2]))
  }
  return found
}

void test('every foreseeable series is there from the start', async (t) => {
  const found = await samples(observe().metrics)
  for (const outcome of ['completed', 'aborted', 'refused', 'failed']) t.equal(found.get(`sluice_connections_total{listener="a:1",outcome="${outcome}"}`), 0)
  for (const [reason, { outcome }] of Object.entries(terminations)) {
    const expected = outcome === 'refused' || outcome === 'failed' ? 0 : undefined
    t.equal(found.get(`sluice_connections_refused_total{reason="${reason}"}`), expected, reason)
  }
  for (const result of ['reloaded', 'kept']) t.equal(found.get(`sluice_reloads_total{result="${result}"}`), 0)
  t.equal(found.get('sluice_build_info{version="1.2.3"}'), 1)
  t.ok(found.has('process_resident_memory_bytes'))
})

void test('live numbers are read at each scrape', async (t) => {
  let relay = counters
  const { metrics } = observe(() => relay)
  const first = await samples(metrics)
  for (const [name, value] of [
    ['sluice_connections_open{listener="a:1"}', 3], ['sluice_connections_open{listener="b:2"}', 2], ['sluice_connections_open_before_hello', 2],
    ['sluice_connections_max', 9_000], ['sluice_tenant_connections_open', 8], ['sluice_tenants_connected', 7], ['sluice_sources_untracked_total', 12], ['sluice_sources_forgotten_total', 13], ['sluice_retries_total', 14], ['sluice_retries_refused_total', 15], ['sluice_bytes_total{from="downstream"}', 100], ['sluice_bytes_total{from="upstream"}', 200],
    ['sluice_dials_total', 7], ['sluice_dial_failures_total', 1], ['sluice_backpressure_pauses_total', 4], ['sluice_accept_errors_total', 0],
    ['sluice_access_log_suppressed_total', 3], ['sluice_snapshot_version', 6], ['sluice_snapshot_tenants', 3], ['sluice_snapshot_hostnames', 4],
  ] as const) {
    t.equal(first.get(name), value, name)
  }
  for (const name of ['sluice_workers', 'sluice_accept_pauses_total', 'sluice_paced_accepts_total', 'sluice_splices_total', 'sluice_worker_restarts_total', 'sluice_sources_dropped', 'sluice_source_drops_total']) t.equal(first.get(name), 0, 'a driver without workers')
  t.ok((first.get('sluice_snapshot_age_seconds') ?? 0) >= 5)
  relay = { ...counters, bytesFromUpstream: 1_000, workers: 2, acceptPauses: 3, pacedAccepts: 6, splices: 4, workerRestarts: 5, kernelLaneConnections: 6, kernelLaneEntries: 9, kernelLaneLeaves: { bulky: 1, ending: 2, saturated: 0 }, busyPolls: { hit: 8, miss: 3, shared: 0 }, sourcesDropped: 7, sourceDrops: 10, sourceDropsMissed: 1 }
  const second = await samples(metrics)
  for (const [name, value] of [
    ['sluice_bytes_total{from="upstream"}', 1_000], ['sluice_workers', 2], ['sluice_accept_pauses_total', 3], ['sluice_paced_accepts_total', 6], ['sluice_splices_total', 4], ['sluice_kernel_lane_connections', 6], ['sluice_kernel_lane_entries_total', 9], ['sluice_kernel_lane_leaves_total{reason="ending"}', 2], ['sluice_busy_polls_total{result="hit"}', 8], ['sluice_worker_restarts_total', 5], ['sluice_sources_dropped', 7], ['sluice_source_drops_total', 10], ['sluice_source_drops_missed_total', 1],
  ] as const) {
    t.equal(second.get(name), value, name)
  }
})

void test('ended connections are counted by listener, outcome and reason, and timed', async (t) => {
  const { metrics, ended } = observe()
  ended(record)
  const { helloMs: _hello, connectMs: _connect, ...refused } = record
  ended({ ...refused, reason: 'hello-not-tls' })
  metrics.reloaded('kept')
  const found = await samples(metrics)
  t.equal(found.get('sluice_connections_total{listener="a:1",outcome="completed"}'), 1)
  t.equal(found.get('sluice_connections_total{listener="a:1",outcome="refused"}'), 1)
  t.equal(found.get('sluice_connections_refused_total{reason="hello-not-tls"}'), 1)
  t.equal(found.get('sluice_hello_seconds_count'), 1)
  t.equal(found.get('sluice_connect_seconds_sum'), 0.0003)
  t.equal(found.get('sluice_connection_duration_seconds_sum'), 2, 'of those that reached an API server')
  t.equal(found.get('sluice_connection_duration_seconds_count'), 1)
  t.equal(found.get('sluice_reloads_total{result="kept"}'), 1)
})

void test('nothing that a peer sent is in the text', async (t) => {
  const { metrics, ended } = observe()
  ended(record)
  const text = await metrics.text()
  for (const word of ['evil', '192.0.2.7', 'acme', '31443']) t.notOk(text.includes(word), word)
})
