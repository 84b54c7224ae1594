// The line of a connection: what it tells, that it is pino's, and that no peer can forge one.

import fc from 'fast-check'
import { pino } from 'pino'
import { test } from 'tap'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { formatSocketAddress } from '../../src/core/net/socket-address.ts'
import { terminationOf, terminations, type TerminationReason } from '../../src/core/termination.ts'
import { escapeText, formatAccessLine, textLengthMax } from '../../src/observe/access-line.ts'

const client = { address: '192.0.2.7', port: 40_000 }
const writtenAtMs = Date.UTC(2026, 0, 2, 3, 4, 6, 0)
const record: ConnectionRecord = {
  id: 'c1', reason: 'completed', closedBy: 'downstream', listener: '[::]:6443', downstream: client, client,
  serverName: 'acme.example.com', encryptedClientHello: false, tenant: 'acme', endpoint: '10.1.0.11:31443', attempts: 1,
  snapshotVersion: 3, acceptedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6), helloMs: 0.123_456, connectMs: 1.5, totalMs: 60_000.000_9,
  bytesFromDownstream: 517, bytesFromUpstream: 4_000,
}

function lineOf(record: ConnectionRecord, nowMs: number): string {
  return new TextDecoder().decode(formatAccessLine(record, nowMs))
}

function fieldsOf(record: ConnectionRecord): Record<string, unknown> {
  return JSON.parse(lineOf(record, writtenAtMs))
}

void test('a line tells who, where, how long, how much, and why it ended', async (t) => {
  t.same(fieldsOf(record), {
    level: 'info', time: '2026-01-02T03:04:06.000Z', service: 'sluice', pid: process.pid, msg: 'connection',
    id: 'c1', listener: '[::]:6443', client: '192.0.2.7:40000', sni: 'acme.example.com', tenant: 'acme', endpoint: '10.1.0.11:31443',
    attempts: 1, outcome: 'completed', reason: 'completed', closedBy: 'downstream', acceptedAt: '2026-01-02T03:04:05.006Z',
    helloMs: 0.123, connectMs: 1.5, totalMs: 60_000.001, bytesFromDownstream: 517, bytesFromUpstream: 4_000, snapshotVersion: 3,
  })
})

void test('what was never reached is absent, and a PROXY header’s client stands beside the peer', async (t) => {
  const { serverName: _name, tenant: _tenant, endpoint: _endpoint, helloMs: _hello, connectMs: _connect, ...bare } = record
  t.same(Object.keys(fieldsOf({ ...bare, reason: 'hello-timeout', closedBy: 'gateway' })), [
    'level', 'time', 'service', 'pid', 'id', 'listener', 'client', 'attempts', 'outcome', 'reason', 'closedBy', 'acceptedAt', 'totalMs', 'bytesFromDownstream', 'bytesFromUpstream', 'snapshotVersion', 'msg',
  ])
  t.match(fieldsOf({ ...record, client: { address: '2001:db8::1', port: 1 }, encryptedClientHello: true, detail: 'why' }), {
    client: '[2001:db8::1]:1', downstream: '192.0.2.7:40000', ech: true, detail: 'why',
  })
})

void test('what a PROXY header told is in it, escaped', async (t) => {
  const proxied = {
    authority: 'acme\nexample', uniqueId: new Uint8Array([0x61, 0xff]), alpn: 'h2', netns: 'unread',
    ssl: { clientSsl: true, clientCertificate: true, verified: false, version: 'TLSv1.3', commonName: 'node "1"', cipher: 'ECDHE' },
  }
  t.match(fieldsOf({ ...record, proxied }), {
    proxyAuthority: 'acme\\x0aexample', proxyUniqueId: 'a\\xff', proxyAlpn: 'h2', proxyTls: 'TLSv1.3, ECDHE, client certificate node \\x221\\x22 not verified',
  })
  const plain = fieldsOf({ ...record, proxied: { ssl: { clientSsl: false, clientCertificate: false, verified: false } } })
  t.notOk(Object.keys(plain).some((key) => key.startsWith('proxy')))
})

void test('a peer’s text is printable ASCII, whatever it sends', async (t) => {
  for (const [text, expected] of [
    ['acme.example.com', 'acme.example.com'],
    ['a\0b', 'a\\x00b'], ['a\r\nb', 'a\\x0d\\x0ab'], ['\x1b[2J', '\\x1b[2J'], ['\x7f', '\\x7f'], ['\x80\xff', '\\x80\\xff'],
    ['say "hi"', 'say \\x22hi\\x22'], ['\\x00', '\\x5cx00'], ['é€', '\\xe9\\u20ac'], ['\u2028', '\\u2028'], ['😀', '\\ud83d\\ude00'],
  ] as const) {
    t.equal(escapeText(text), expected)
  }
  t.equal(escapeText('x'.repeat(10_000)), `${'x'.repeat(textLengthMax)}...`)
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
    const escaped = escapeText(text)
    if (!/^[ -~]*$/.test(escaped) || escaped.includes('"')) throw new Error(escaped)
  }))
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 50 }), fc.string({ unit: 'binary', maxLength: 50 }), (left, right) => {
    if (left !== right && escapeText(left) === escapeText(right)) throw new Error('two texts look the same')
  }))
})

/** The same fields through pino. */
function pinoLine(record: ConnectionRecord, nowMs: number): string {
  let line = ''
  const logger = pino({
    base: { service: 'sluice', pid: process.pid },
    timestamp: () => `,"time":"${new Date(nowMs).toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
  }, { write: (text) => { line = text } })
  const { serverName, detail, tenant, endpoint, helloMs, connectMs } = record
  const rounded = (ms: number | undefined) => ms === undefined ? undefined : Math.round(ms * 1_000) / 1_000
  logger.info({
    id: record.id,
    listener: record.listener,
    client: formatSocketAddress(record.client),
    downstream: record.client === record.downstream ? undefined : formatSocketAddress(record.downstream),
    sni: serverName === undefined ? undefined : escapeText(serverName),
    ech: record.encryptedClientHello ? true : undefined,
    tenant,
    endpoint,
    attempts: record.attempts,
    outcome: terminationOf(record.reason).outcome,
    reason: record.reason,
    detail: detail === undefined ? undefined : escapeText(detail),
    closedBy: record.closedBy,
    acceptedAt: new Date(record.acceptedAtMs).toISOString(),
    helloMs: rounded(helloMs),
    connectMs: rounded(connectMs),
    totalMs: rounded(record.totalMs),
    bytesFromDownstream: record.bytesFromDownstream,
    bytesFromUpstream: record.bytesFromUpstream,
    snapshotVersion: record.snapshotVersion,
  }, 'connection')
  return line
}

const address = fc.record({ address: fc.oneof(fc.ipV4(), fc.ipV6()), port: fc.nat(65_535) })
const text = fc.string({ unit: fc.oneof({ weight: 5, arbitrary: fc.string({ minLength: 1, maxLength: 1 }) }, fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 })), maxLength: 320 })
const durationMs = fc.double({ min: 0, max: 1e12, noNaN: true })
const bytes = fc.nat(Number.MAX_SAFE_INTEGER)
const epochMs = fc.integer({ min: 0, max: Date.UTC(9999, 0) })
const anyRecord: fc.Arbitrary<ConnectionRecord> = fc.record({
  id: text, reason: fc.constantFrom(...Object.keys(terminations) as TerminationReason[]), closedBy: fc.constantFrom('downstream', 'upstream', 'gateway'),
  listener: text, downstream: address, client: address, encryptedClientHello: fc.boolean(), attempts: fc.nat(), snapshotVersion: fc.nat(),
  acceptedAtMs: epochMs, totalMs: durationMs, bytesFromDownstream: bytes, bytesFromUpstream: bytes,
  detail: text, serverName: text, tenant: text, endpoint: text, helloMs: durationMs, connectMs: durationMs,
}, { requiredKeys: ['id', 'reason', 'closedBy', 'listener', 'downstream', 'client', 'encryptedClientHello', 'attempts', 'snapshotVersion', 'acceptedAtMs', 'totalMs', 'bytesFromDownstream', 'bytesFromUpstream'] })
  .chain((record) => fc.constantFrom(record, { ...record, client: record.downstream }))

void test('every line is the one that pino would write', async () => {
  fc.assert(fc.property(anyRecord, epochMs, (record, nowMs) => {
    const [line, expected] = [lineOf(record, nowMs), pinoLine(record, nowMs)]
    if (line !== expected) throw new Error(`${line}is not\n${expected}`)
  }), { numRuns: 1_000 })
})

void test('times are right whichever order they come in', async (t) => {
  const second = Date.UTC(2026, 0, 2, 3, 4, 5)
  for (const ms of [second + 999, second + 1_000, second, second + 59_000, second + 7.9]) {
    t.match(JSON.parse(lineOf({ ...record, acceptedAtMs: ms }, ms)), { time: new Date(ms).toISOString(), acceptedAt: new Date(ms).toISOString() })
  }
})
