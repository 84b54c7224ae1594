// The access log: which connections have a line, and that a flood stays bounded.

import { test } from 'tap'
import { refusedRecord, type ConnectionRecord } from '../../src/core/connection-record.ts'
import { terminations, terminationOf, type TerminationReason } from '../../src/core/termination.ts'
import { AccessLog, accessLogLimits } from '../../src/observe/access-log.ts'
import { createLogger } from '../../src/observe/log.ts'
import { keptLines } from '../support/kept-lines.ts'

const client = { address: '192.0.2.7', port: 40_000 }
const record: ConnectionRecord = {
  id: 'c1', reason: 'completed', closedBy: 'downstream', listener: '[::]:6443', downstream: client, client,
  serverName: 'acme.example.com', encryptedClientHello: false, tenant: 'acme', endpoint: '10.1.0.11:31443', attempts: 1,
  snapshotVersion: 3, acceptedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6), helloMs: 0.123_456, connectMs: 1.5, totalMs: 60_000.000_9,
  bytesFromDownstream: 517, bytesFromUpstream: 4_000,
}

interface AccessLogUnderTest {
  readonly log: AccessLog
  readonly lines: { readonly msg: string, readonly reason: TerminationReason }[]
  readonly suppressed: TerminationReason[]
}

function accessLog({ share, level }: { readonly share?: number, readonly level?: string } = {}): AccessLogUnderTest {
  const { lines, stream } = keptLines<AccessLogUnderTest['lines'][number]>()
  const suppressed: TerminationReason[] = []
  const logger = createLogger({ level, stream })
  return { lines, suppressed, log: new AccessLog({ logger, suppressed: (reason) => suppressed.push(reason), ...(share === undefined ? {} : { share }) }) }
}

const { linesBurst, linesPerSecond } = accessLogLimits

void test('lines of refused connections have a budget for each reason; what is over it is told', async (t) => {
  const { log, lines, suppressed } = accessLog()
  for (let index = 0; index < linesBurst + 50; index++) log.write({ ...record, reason: 'hello-not-tls' }, 0)
  t.equal(lines.length, linesBurst)
  t.same(suppressed, Array.from({ length: 50 }, () => 'hello-not-tls'))
  log.write({ ...record, reason: 'unknown-server-name' }, 0)
  t.match(lines.at(-1), { msg: 'connection', reason: 'unknown-server-name' }, 'another reason has its own')
  for (let index = 0; index < linesBurst; index++) log.write({ ...record, reason: 'hello-not-tls' }, 1_000)
  t.equal(lines.length, linesBurst + 1 + linesPerSecond, 'a second later')
})

void test('one that was refused as it was accepted has its record made for a line only', async (t) => {
  const { log, lines, suppressed } = accessLog()
  let made = 0
  const refused = (): ConnectionRecord => {
    made += 1
    return refusedRecord({ id: 'c2', reason: 'source-rate-limit', listener: '[::]:6443', downstream: client, snapshotVersion: 3, acceptedAtMs: 0 })
  }
  for (let index = 0; index < linesBurst + 50; index++) log.writeRefused('source-rate-limit', refused, 0)
  t.same([made, lines.length, suppressed.length], [linesBurst, linesBurst, 50])
  t.match(lines[0], { msg: 'connection', reason: 'source-rate-limit', outcome: 'refused', closedBy: 'gateway', client: '192.0.2.7:40000', attempts: 0 })
})

void test('a thread has its share of the budget', async (t) => {
  const { log, lines } = accessLog({ share: 1 / 4 })
  for (const nowMs of [0, 1_000]) for (let index = 0; index < linesBurst; index++) log.write({ ...record, reason: 'hello-not-tls' }, nowMs)
  t.equal(lines.length, (linesBurst + linesPerSecond) / 4)
})

void test('lines of relayed connections are always written', async (t) => {
  for (const reason of Object.keys(terminations) as TerminationReason[]) {
    const { log, lines } = accessLog()
    const count = linesBurst + 1
    for (let index = 0; index < count; index++) log.write({ ...record, reason }, 0)
    const { outcome } = terminationOf(reason)
    t.equal(lines.length, outcome === 'completed' || outcome === 'aborted' ? count : count - 1, reason)
  }
})

void test('a log of warnings has no connections', async (t) => {
  const { log, lines } = accessLog({ level: 'warn' })
  log.write(record, 0)
  t.same(lines, [])
})
