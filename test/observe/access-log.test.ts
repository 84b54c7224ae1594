// The access log: what a line tells, that no peer can forge one, and that a flood stays bounded.

import fc from 'fast-check'
import { test } from 'tap'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { terminations, terminationOf, type TerminationReason } from '../../src/core/termination.ts'
import { AccessLog, accessLogFields, accessLogLimits, escapeText, textLengthMax } from '../../src/observe/access-log.ts'
import { createLogger } from '../../src/observe/log.ts'

const client = { address: '192.0.2.7', port: 40_000 }
const record: ConnectionRecord = {
  id: 'c1', reason: 'completed', closedBy: 'downstream', listener: '[::]:6443', downstream: client, client,
  serverName: 'acme.example.com', encryptedClientHello: false, tenant: 'acme', endpoint: '10.1.0.11:31443', attempts: 1,
  snapshotVersion: 3, acceptedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6), helloMs: 0.123_456, connectMs: 1.5, totalMs: 60_000.000_9,
  bytesFromDownstream: 517, bytesFromUpstream: 4_000,
}

void test('a line tells who, where, how long, how much, and why it ended', async (t) => {
  t.same(accessLogFields(record), {
    id: 'c1', listener: '[::]:6443', client: '192.0.2.7:40000', sni: 'acme.example.com', tenant: 'acme', endpoint: '10.1.0.11:31443',
    attempts: 1, outcome: 'completed', reason: 'completed', closedBy: 'downstream', acceptedAt: '2026-01-02T03:04:05.006Z',
    helloMs: 0.123, connectMs: 1.5, totalMs: 60_000.001, bytesFromDownstream: 517, bytesFromUpstream: 4_000, snapshotVersion: 3,
  })
})

void test('what was never reached is absent, and a PROXY header’s client stands beside the peer', async (t) => {
  const { serverName: _name, tenant: _tenant, endpoint: _endpoint, helloMs: _hello, connectMs: _connect, ...bare } = record
  t.same(Object.keys(accessLogFields({ ...bare, reason: 'hello-timeout', closedBy: 'gateway' })), [
    'id', 'listener', 'client', 'attempts', 'outcome', 'reason', 'closedBy', 'acceptedAt', 'totalMs', 'bytesFromDownstream', 'bytesFromUpstream', 'snapshotVersion',
  ])
  t.match(accessLogFields({ ...record, client: { address: '2001:db8::1', port: 1 }, encryptedClientHello: true, detail: 'why' }), {
    client: '[2001:db8::1]:1', downstream: '192.0.2.7:40000', ech: true, detail: 'why',
  })
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

interface Line {
  readonly msg: string
  readonly reason?: TerminationReason
  readonly suppressed?: Readonly<Record<string, number>>
  readonly total?: number
}

function accessLog(): { readonly log: AccessLog; readonly lines: Line[] } {
  const lines: Line[] = []
  return { lines, log: new AccessLog(createLogger({ stream: { write: (line: string) => lines.push(JSON.parse(line)) } })) }
}

void test('lines of refused connections have a budget for each reason; what is over it is counted and told of', async (t) => {
  const { log, lines } = accessLog()
  const { linesBurst, linesPerSecond } = accessLogLimits
  const written = Array.from({ length: linesBurst + 50 }, () => log.write({ ...record, reason: 'hello-not-tls' }, 0)).filter(Boolean).length
  t.equal(written, linesBurst)
  t.ok(log.write({ ...record, reason: 'unknown-server-name' }, 0), 'another reason has its own')
  t.equal(log.suppressed, 50)
  log.summarise()
  t.match(lines.at(-1), { level: 'warn', suppressed: { 'hello-not-tls': 50 }, total: 50 })
  const before = lines.length
  log.summarise()
  t.equal(lines.length, before, 'nothing new, no summary')
  const later = Array.from({ length: linesBurst }, () => log.write({ ...record, reason: 'hello-not-tls' }, 1_000)).filter(Boolean).length
  t.equal(later, linesPerSecond, 'a second later')
})

void test('lines of relayed connections are always written', async (t) => {
  for (const [reason] of Object.entries(terminations)) {
    const { log, lines } = accessLog()
    const count = accessLogLimits.linesBurst + 1
    for (let index = 0; index < count; index++) log.write({ ...record, reason: reason as TerminationReason }, 0)
    const { outcome } = terminationOf(reason as TerminationReason)
    t.equal(lines.length, outcome === 'completed' || outcome === 'aborted' ? count : count - 1, reason)
  }
})
