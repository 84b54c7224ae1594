// The one observer: each connection's metrics and line, floods of both kinds bounded, and the last summary.

import { test } from 'tap'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { createLogger } from '../../src/observe/log.ts'
import { Observation } from '../../src/observe/observation.ts'
import { keptLines } from '../support/kept-lines.ts'

const client = { address: '192.0.2.7', port: 40_000 }
const record: ConnectionRecord = {
  id: 'c1', reason: 'completed', closedBy: 'downstream', listener: 'a:1', downstream: client, client, encryptedClientHello: false,
  tenant: 'acme', endpoint: '10.1.0.11:31443', attempts: 1, snapshotVersion: 3, acceptedAtMs: 0, totalMs: 2_000, bytesFromDownstream: 1, bytesFromUpstream: 2,
}

interface Line {
  readonly msg: string
  readonly suppressed?: number | Readonly<Record<string, number>>
}

function observe(): { readonly observation: Observation; readonly lines: Line[] } {
  const { lines, stream } = keptLines<Line>()
  const observation = new Observation({
    logger: createLogger({ stream }),
    version: '1.2.3',
    sources: {
      relay: () => ({
        openConnections: 0, openConnectionsBeforeHello: 0, openConnectionsByListener: new Map(), connectionsMax: 1,
        bytesFromDownstream: 0, bytesFromUpstream: 0, dials: 0, dialFailures: 0, backpressurePauses: 0, acceptErrors: 0,
      }),
      snapshot: () => ({ version: 1, publishedAtMs: 0, tenants: 1, hostnames: 1 }),
      limits: () => ({ openConnections: 0, openConnectionsBeforeHello: 0, openOfTenants: 0, tenantsWithConnections: 0, connectionsMax: 1, untracked: 0, forgotten: 0, retries: 0, retriesRefused: 0 }),
    },
  })
  return { observation, lines }
}

void test('a connection that ended is a line and a count', async (t) => {
  const { observation, lines } = observe()
  observation.addListener('a:1')
  observation.connectionEnded(record)
  t.match(lines, [{ msg: 'connection', reason: 'completed', tenant: 'acme' }])
  t.match(await observation.metrics.text(), 'sluice_connections_total{listener="a:1",outcome="completed"} 1')
})

void test('under a flood every connection is counted, lines are bounded, and closing tells how many are missing', async (t) => {
  const { observation, lines } = observe()
  const flood = 5_000
  for (let index = 0; index < flood; index++) {
    observation.connectionEnded({ ...record, reason: 'hello-not-tls' })
    observation.driverError(new Error('too many open files'), 'accept on a:1')
  }
  observation.close()
  const [refused, failures] = ['connection', 'accept on a:1'].map((message) => lines.filter(({ msg }) => msg === message).length)
  const [refusedSummary, failuresSummary] = lines.slice(-2)
  t.same(refusedSummary?.suppressed, { 'hello-not-tls': flood - (refused ?? 0) })
  t.same(failuresSummary?.suppressed, flood - (failures ?? 0))
  const text = await observation.metrics.text()
  t.match(text, `sluice_connections_refused_total{reason="hello-not-tls"} ${flood}`)
  t.match(text, `sluice_access_log_suppressed_total ${flood - (refused ?? 0)}`)
  const before = lines.length
  observation.close()
  t.equal(lines.length, before, 'nothing more to tell')
})
