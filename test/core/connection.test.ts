// The connection's state machine: tables of event sequences and the effects they cause, and random event orders.

import fc from 'fast-check'
import { test } from 'tap'
import { Connection, replayBytesMax, type ConnectionOrigin } from '../../src/core/connection.ts'
import type { ConnectionEffect, ConnectionEvent } from '../../src/core/connection-events.ts'
import type { Endpoint } from '../../src/core/balance/endpoint.ts'
import type { ListenerConfig } from '../../src/config/config.ts'
import type { TenantSpec } from '../../src/core/snapshot.ts'
import type { TerminationReason } from '../../src/core/termination.ts'
import { encodeFatalAlert } from '../../src/core/tls/alert.ts'
import type { AcceptRefusal, TenantRefusal } from '../../src/core/limit/admission.ts'
import { encodeProxyHeader } from '../../src/core/proxy-protocol/encode.ts'
import type { ProxyHeader } from '../../src/core/proxy-protocol/header.ts'
import { ProxyHeaderReader, type ProxyHeaderProgress } from '../../src/core/proxy-protocol/reader.ts'
import { buildClientHello } from './tls/hello-builder.ts'
import { endpoint, inTurn, listener, snapshotOf, tenant } from '../support/config.ts'

/** Of tenants in tests. */
const answerTimeoutMs = 5_000
const hello = buildClientHello({ serverName: 'acme.example.test' })
const tunnelHello = buildClientHello({ serverName: 'tunnel.example.test' })
const client = { address: '192.0.2.7', port: 40_000 }
const local = { address: '192.0.2.1', port: 6443 }

/** Connections to any endpoint. */
const active = {
  connections: 0,
  of: () => 0,
  began: () => {
    active.connections += 1
    return 0
  },
  ended: () => {
    active.connections -= 1
  },
  failed: ({ port }: Endpoint) => {
    told.push(`dial ${port}`)
  },
  unanswered: ({ port }: Endpoint) => {
    told.push(`answer ${port}`)
  },
  connected: ({ port }: Endpoint) => {
    connected.push(port)
  },
}
/** Of endpoints, for who checks them. */
const told: string[] = []
/** Ports whose dials succeeded. */
const connected: number[] = []

interface MachineOptions {
  readonly tenant?: Partial<TenantSpec>
  readonly listener?: Partial<ListenerConfig>
  readonly endpoints?: number
  readonly handsOver?: boolean
  readonly judgeTicket?: ConnectionOrigin['judgeTicket']
  readonly admission?: ConnectionOrigin['admission']
  /** An agent's listener. */
  readonly withoutHello?: boolean
}

function machine(options: MachineOptions = {}): Connection {
  const endpoints = Array.from({ length: options.endpoints ?? 2 }, (_, index) => endpoint(31_443 + index))
  const snapshot = snapshotOf({
    active,
    tenants: [tenant('acme', inTurn('acme', endpoints), options.tenant)],
    tunnelHostnames: ['tunnel.example.test'],
    listeners: [listener(options.listener)],
  })
  const policy = [...snapshot.listeners.values()][0]
  if (policy === undefined) throw new Error('no listener')
  const acme = snapshot.tenants.get('acme')
  const its = options.withoutHello === true && acme !== undefined ? { ...policy, withoutHello: true, defaultTenant: acme } : policy
  return new Connection({ id: () => 'c1', number: 0, listener: its, handsOver: options.handsOver ?? true, judgeTicket: options.judgeTicket, admission: options.admission, downstream: client, local: () => local, acceptedAtMs: 0, nowMs: 0 }, snapshot)
}

function kinds(effects: readonly ConnectionEffect[]): string[] {
  return effects.map((effect) => effect.kind)
}

function started(options: MachineOptions = {}): Connection {
  const connection = machine(options)
  connection.start({ atConnectionLimit: false })
  return connection
}

function dialing(options: MachineOptions = {}): Connection {
  const connection = started(options)
  connection.step({ kind: 'downstream-bytes', bytes: hello, nowMs: 1 })
  return connection
}

function awaiting(options: MachineOptions = {}): Connection {
  const connection = dialing(options)
  connection.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 2 })
  return connection
}

function relaying(options: MachineOptions = {}): Connection {
  const connection = awaiting(options)
  connection.step({ kind: 'upstream-answered', attempt: 1, nowMs: 3 })
  return connection
}

function reasonOf(connection: Connection): TerminationReason {
  return connection.record({ bytesFromDownstream: 0, bytesFromUpstream: 0 }).reason
}

function endOf(effects: readonly ConnectionEffect[]): Extract<ConnectionEffect, { kind: 'end' }> | undefined {
  return effects.find((effect) => effect.kind === 'end')
}

void test('a connection goes from hello to relay to its end', async (t) => {
  const connection = machine()
  t.same(connection.start({ atConnectionLimit: false }), [{ kind: 'deadline', atMs: 5_000 }])
  t.same(connection.step({ kind: 'downstream-bytes', bytes: hello.subarray(0, 10), nowMs: 1 }), [])
  const dial = connection.step({ kind: 'downstream-bytes', bytes: hello.subarray(10), nowMs: 2 })
  t.same(dial, [{ kind: 'dial', endpoint: endpoint(31_443), attempt: 1 }, { kind: 'deadline', atMs: 3_002 }])
  const connected = connection.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 5 })
  t.same(kinds(connected), ['send-upstream', 'deadline'])
  t.same(connected[0]?.kind === 'send-upstream' && Buffer.from(connected[0].bytes), Buffer.from(hello))
  t.same(connection.step({ kind: 'upstream-answered', attempt: 1, nowMs: 9 }), [{ kind: 'relay' }])
  t.same(kinds(connection.step({ kind: 'downstream-fin', nowMs: 10 })), ['finish-upstream', 'deadline'])
  t.same(kinds(connection.step({ kind: 'upstream-finished', attempt: 1, nowMs: 11 })), [])
  t.same(kinds(connection.step({ kind: 'upstream-fin', attempt: 1, nowMs: 12 })), ['finish-downstream', 'deadline'])
  t.same(connection.step({ kind: 'downstream-finished', nowMs: 13 }), [
    { kind: 'end', downstream: { how: 'close' }, upstream: 'close' },
  ])
  t.match(connection.record({ bytesFromDownstream: 1, bytesFromUpstream: 2 }), {
    id: 'c1', reason: 'completed', closedBy: 'downstream', tenant: 'acme', endpoint: '127.0.0.1:31443', attempts: 1,
    serverName: 'acme.example.test', helloMs: 2, connectMs: 3, totalMs: 13, snapshotVersion: 1,
    bytesFromDownstream: 1, bytesFromUpstream: 2, client, downstream: client,
  })
})

/** Its PROXY header names a client that is refused. */
function refusedClient(refusal: AcceptRefusal): { connection: () => Connection; events: readonly ConnectionEvent[] } {
  return {
    connection: () => started({ listener: { proxyProtocol: { trustedSources: ['192.0.2.0/24'] } }, admission: { client: () => refusal, tenant: () => undefined, retry: () => true } }),
    events: [{ kind: 'downstream-bytes', bytes: encodeProxyHeader({ version: 'v2', source: client, destination: local }), nowMs: 1 }],
  }
}

function refusedByTenant(refusal: TenantRefusal): { connection: () => Connection; events: readonly ConnectionEvent[] } {
  return { connection: () => started({ admission: { client: () => undefined, tenant: () => refusal, retry: () => true } }), events: [{ kind: 'downstream-bytes', bytes: hello, nowMs: 1 }] }
}

/** What each way to end needs, from the accept on; the table has a row for every reason. */
const endings: Record<TerminationReason, { connection: () => Connection; events: readonly ConnectionEvent[]; closedBy?: string }> = {
  'completed': {
    connection: relaying,
    events: [
      { kind: 'upstream-fin', attempt: 1, nowMs: 4 }, { kind: 'downstream-finished', nowMs: 5 },
      { kind: 'downstream-fin', nowMs: 6 }, { kind: 'upstream-finished', attempt: 1, nowMs: 7 },
    ],
    closedBy: 'upstream',
  },
  'downstream-reset': { connection: relaying, events: [{ kind: 'downstream-lost', how: 'reset', nowMs: 4 }], closedBy: 'downstream' },
  'upstream-reset': { connection: relaying, events: [{ kind: 'upstream-lost', attempt: 1, how: 'reset', nowMs: 4 }], closedBy: 'upstream' },
  'downstream-unresponsive': { connection: relaying, events: [{ kind: 'downstream-lost', how: 'unresponsive', nowMs: 4 }], closedBy: 'downstream' },
  'upstream-unresponsive': { connection: relaying, events: [{ kind: 'upstream-lost', attempt: 1, how: 'unresponsive', nowMs: 4 }], closedBy: 'upstream' },
  'idle-timeout': { connection: relaying, events: [{ kind: 'deadline', lastActivityMs: 10, nowMs: 3_600_010 }] },
  'half-closed-timeout': {
    connection: relaying,
    events: [{ kind: 'downstream-fin', nowMs: 10 }, { kind: 'deadline', lastActivityMs: 3, nowMs: 300_010 }],
  },
  'drain-timeout': {
    connection: relaying,
    events: [{ kind: 'drain', nowMs: 10 }, { kind: 'deadline', lastActivityMs: 600_000, nowMs: 600_010 }],
  },
  'gateway-stopped': { connection: relaying, events: [{ kind: 'stop', reason: 'gateway-stopped', nowMs: 4 }] },
  'system-limit': { connection: relaying, events: [{ kind: 'stop', reason: 'system-limit', nowMs: 4 }] },
  'worker-failed': { connection: relaying, events: [{ kind: 'stop', reason: 'worker-failed', nowMs: 4 }] },
  'closed-by-operator': { connection: relaying, events: [{ kind: 'stop', reason: 'closed-by-operator', nowMs: 4 }] },
  'node-revoked': { connection: relaying, events: [{ kind: 'stop', reason: 'node-revoked', nowMs: 4 }] },
  'ticket-refused': {
    connection: () => started({ judgeTicket: () => ({ kind: 'refused', detail: 'none of ours' }) }),
    events: [{ kind: 'downstream-bytes', bytes: encodeProxyHeader({ version: 'v2', source: client, destination: local, ticket: Buffer.from('x') }), nowMs: 1 }],
  },
  'proxy-header-timeout': {
    connection: () => started({ listener: { proxyProtocol: { trustedSources: ['192.0.2.0/24'] } } }),
    events: [{ kind: 'downstream-bytes', bytes: Buffer.from('PROXY '), nowMs: 4_999 }, { kind: 'deadline', lastActivityMs: 0, nowMs: 5_000 }],
  },
  'proxy-header-invalid': {
    connection: () => started({ listener: { proxyProtocol: { trustedSources: ['192.0.2.0/24'] } } }),
    events: [{ kind: 'downstream-bytes', bytes: hello, nowMs: 1 }],
  },
  'proxy-source-untrusted': {
    connection: () => machine({ listener: { proxyProtocol: { trustedSources: ['198.51.100.0/24'] } } }),
    events: [],
  },
  'hello-timeout': {
    connection: started,
    events: [{ kind: 'downstream-bytes', bytes: hello.subarray(0, 50), nowMs: 4_999 }, { kind: 'deadline', lastActivityMs: 0, nowMs: 5_000 }],
  },
  'hello-not-tls': { connection: started, events: [{ kind: 'downstream-bytes', bytes: Buffer.from('GET / HTTP/1.1\r\n'), nowMs: 1 }] },
  'hello-malformed': { connection: started, events: [{ kind: 'downstream-bytes', bytes: Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]), nowMs: 1 }] },
  'hello-too-large': { connection: started, events: [{ kind: 'downstream-bytes', bytes: Buffer.from([22, 3, 1, 0x40, 0, 1, 1, 0, 0]), nowMs: 1 }] },
  'closed-before-hello': { connection: started, events: [{ kind: 'downstream-fin', nowMs: 1 }], closedBy: 'downstream' },
  'handed-over': { connection: started, events: [{ kind: 'downstream-bytes', bytes: tunnelHello, nowMs: 1 }] },
  'no-server-name': { connection: started, events: [{ kind: 'downstream-bytes', bytes: buildClientHello({}), nowMs: 1 }] },
  'invalid-server-name': { connection: started, events: [{ kind: 'downstream-bytes', bytes: buildClientHello({ serverName: 'a b' }), nowMs: 1 }] },
  'unknown-server-name': { connection: started, events: [{ kind: 'downstream-bytes', bytes: buildClientHello({ serverName: 'other.example.test' }), nowMs: 1 }] },
  'source-not-allowed': {
    connection: () => started({ tenant: { allowedSources: ['198.51.100.0/24'] } }),
    events: [{ kind: 'downstream-bytes', bytes: hello, nowMs: 1 }],
  },
  'connection-limit': { connection: machine, events: [] },
  // Most are refused at the accept, and have no machine.
  'hello-limit': refusedClient('hello-limit'),
  'listener-connection-limit': refusedClient('listener-connection-limit'),
  'listener-rate-limit': refusedClient('listener-rate-limit'),
  'source-connection-limit': refusedClient('source-connection-limit'),
  'source-rate-limit': refusedClient('source-rate-limit'),
  'tenant-connection-limit': refusedByTenant('tenant-connection-limit'),
  'tenant-rate-limit': refusedByTenant('tenant-rate-limit'),
  'tenant-source-limit': refusedByTenant('tenant-source-limit'),
  'share-limit': refusedByTenant('share-limit'),
  'process-rate-limit': refusedByTenant('process-rate-limit'),
  'no-endpoint': {
    connection: () => started({ tenant: { endpoints: [endpoint(31_443, { weight: 0 })] } }),
    events: [{ kind: 'downstream-bytes', bytes: hello, nowMs: 1 }],
  },
  'closed-while-dialing': { connection: dialing, events: [{ kind: 'downstream-fin', nowMs: 2 }], closedBy: 'downstream' },
  'dial-refused': {
    connection: () => dialing({ endpoints: 1 }),
    events: [{ kind: 'dial-failed', attempt: 1, failure: 'refused', detail: 'ECONNREFUSED', nowMs: 2 }],
  },
  'dial-timeout': { connection: () => dialing({ endpoints: 1 }), events: [{ kind: 'deadline', lastActivityMs: 0, nowMs: 3_001 }] },
  'dial-unreachable': {
    connection: () => dialing({ endpoints: 1 }),
    events: [{ kind: 'dial-failed', attempt: 1, failure: 'unreachable', detail: 'EHOSTUNREACH', nowMs: 2 }],
  },
  'dial-error': {
    connection: () => dialing({ endpoints: 1 }),
    events: [{ kind: 'dial-failed', attempt: 1, failure: 'error', detail: 'EADDRNOTAVAIL', nowMs: 2 }],
  },
  'answer-timeout': {
    connection: () => awaiting({ endpoints: 1 }),
    events: [{ kind: 'deadline', lastActivityMs: 2, nowMs: 2 + answerTimeoutMs }],
  },
  'retry-budget': {
    connection: () => dialing({ endpoints: 2, admission: { client: () => undefined, tenant: () => undefined, retry: () => false } }),
    events: [{ kind: 'dial-failed', attempt: 1, failure: 'refused', detail: 'ECONNREFUSED', nowMs: 2 }],
  },
  'reset-before-answer': {
    connection: () => awaiting({ endpoints: 1 }),
    events: [{ kind: 'upstream-lost', attempt: 1, how: 'reset', nowMs: 3 }],
  },
}

const alerts: Partial<Record<TerminationReason, Parameters<typeof encodeFatalAlert>[0]>> = {
  'hello-malformed': 'decode_error', 'hello-too-large': 'decode_error',
  'no-server-name': 'unrecognized_name', 'invalid-server-name': 'unrecognized_name', 'unknown-server-name': 'unrecognized_name',
  'source-not-allowed': 'access_denied', 'connection-limit': 'internal_error', 'no-endpoint': 'internal_error',
  'dial-refused': 'internal_error', 'dial-timeout': 'internal_error', 'dial-unreachable': 'internal_error',
  'dial-error': 'internal_error', 'retry-budget': 'internal_error', 'answer-timeout': 'internal_error', 'reset-before-answer': 'internal_error',
  'tenant-connection-limit': 'internal_error', 'tenant-rate-limit': 'internal_error', 'tenant-source-limit': 'internal_error',
  'share-limit': 'internal_error', 'process-rate-limit': 'internal_error',
}

/** All others say nothing of an endpoint. */
const tellings: Partial<Record<TerminationReason, string>> = {
  'dial-refused': 'dial', 'dial-timeout': 'dial', 'dial-unreachable': 'dial', 'retry-budget': 'dial', 'answer-timeout': 'answer', 'reset-before-answer': 'answer',
}

for (const [reason, { connection: make, events, closedBy = 'gateway' }] of Object.entries(endings)) {
  void test(`a connection ends with ${reason}, once, and the client is told what it can understand`, async (t) => {
    told.length = 0
    const connection = make()
    let effects = connection.start({ atConnectionLimit: reason === 'connection-limit' })
    for (const event of events) {
      t.equal(endOf(effects), undefined, 'not ended before its last event')
      effects = connection.step(event)
    }
    const end = endOf(effects)
    t.ok(end, 'ended')
    t.equal(effects.at(-1), end, 'nothing behind the end')
    t.equal(reasonOf(connection), reason)
    const telling = tellings[reason as TerminationReason]
    t.same(told, telling === undefined ? [] : [`${telling} 31443`], 'who checks endpoints is told')
    t.equal(connection.record({ bytesFromDownstream: 0, bytesFromUpstream: 0 }).closedBy, closedBy)
    const alert = alerts[reason as TerminationReason]
    if (alert === undefined) t.not(end?.downstream.how, 'send')
    else t.same(end?.downstream.how === 'send' && end.downstream.bytes, encodeFatalAlert(alert))
    t.same(connection.step({ kind: 'stop', reason: 'gateway-stopped', nowMs: 1e9 }), [], 'no effect after the end')
  })
}

void test('a failed attempt goes to the next endpoint with the same bytes', async (t) => {
  const early = Buffer.from('early data')
  const failures: { name: string; fail: (connection: Connection) => readonly ConnectionEffect[]; before: string[] }[] = [
    { name: 'refused', fail: (c) => c.step({ kind: 'dial-failed', attempt: 1, failure: 'refused', detail: '', nowMs: 5 }), before: [] },
    { name: 'timeout', fail: (c) => c.step({ kind: 'deadline', lastActivityMs: 0, nowMs: 3_001 }), before: ['drop-upstream'] },
    {
      name: 'reset before its first byte',
      fail: (c) => {
        c.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 4 })
        return c.step({ kind: 'upstream-lost', attempt: 1, how: 'reset', nowMs: 5 })
      },
      before: ['drop-upstream'],
    },
    {
      name: 'FIN before its first byte',
      fail: (c) => {
        c.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 4 })
        return c.step({ kind: 'upstream-fin', attempt: 1, nowMs: 5 })
      },
      before: ['drop-upstream'],
    },
  ]
  for (const { name, fail, before } of failures) {
    connected.length = 0
    const connection = dialing()
    connection.step({ kind: 'downstream-bytes', bytes: early, nowMs: 2 })
    const effects = fail(connection)
    t.same(kinds(effects), [...before, 'dial', 'deadline'], name)
    const dial = effects.find((effect) => effect.kind === 'dial')
    t.match(dial, { attempt: 2, endpoint: { port: 31_444 } }, name)
    const sent = connection.step({ kind: 'dial-succeeded', attempt: 2, nowMs: 6 })[0]
    t.same(sent?.kind === 'send-upstream' && Buffer.from(sent.bytes), Buffer.concat([hello, early]), `${name}: replayed whole, once`)
    t.same(connected, name.includes('before') ? [31_443, 31_444] : [31_444], `${name}: who counts failures in a row hears of each dial that succeeds`)
  }
})

void test('while its name is being resolved time blames nobody; once it is dialled, it does', async (t) => {
  for (const [events, expected] of [
    [['dial-resolving'], { reason: 'dial-error', told: [] }],
    [['dial-resolving', 'dial-resolved'], { reason: 'dial-timeout', told: ['dial 31443'] }],
  ] as const) {
    told.length = 0
    const connection = dialing({ endpoints: 1 })
    for (const kind of events) t.same(connection.step({ kind, attempt: 1 }), [])
    connection.step({ kind: 'deadline', lastActivityMs: 0, nowMs: 3_001 })
    t.same({ reason: reasonOf(connection), told }, expected)
  }
  told.length = 0
  const connection = dialing()
  connection.step({ kind: 'dial-resolving', attempt: 1 })
  connection.step({ kind: 'deadline', lastActivityMs: 0, nowMs: 3_001 })
  connection.step({ kind: 'deadline', lastActivityMs: 0, nowMs: 6_002 })
  t.same(told, ['dial 31444'], 'the next endpoint is one of its own')
})

void test('attempts end with the endpoints or with retries.attempts, whichever comes first', async (t) => {
  for (const { endpoints, attemptsMax, expected } of [
    { endpoints: 1, attemptsMax: 3, expected: 1 }, { endpoints: 5, attemptsMax: 3, expected: 3 },
    { endpoints: 2, attemptsMax: 3, expected: 2 }, { endpoints: 3, attemptsMax: 1, expected: 1 },
  ]) {
    const connection = dialing({ endpoints, tenant: { attemptsMax } })
    for (let attempt = 1; attempt <= expected; attempt++) {
      t.notOk(connection.ended)
      connection.step({ kind: 'dial-failed', attempt, failure: 'refused', detail: '', nowMs: 5 })
    }
    t.equal(reasonOf(connection), 'dial-refused')
    t.equal(connection.record({ bytesFromDownstream: 0, bytesFromUpstream: 0 }).attempts, expected)
  }
})

void test('what belongs to an earlier attempt changes nothing', async (t) => {
  const connection = dialing()
  connection.step({ kind: 'dial-failed', attempt: 1, failure: 'refused', detail: '', nowMs: 5 })
  for (const kind of ['dial-succeeded', 'upstream-answered', 'upstream-fin', 'upstream-finished'] as const) {
    t.same(connection.step({ kind, attempt: 1, nowMs: 6 }), [])
  }
  t.same(kinds(connection.step({ kind: 'dial-succeeded', attempt: 2, nowMs: 7 })), ['send-upstream', 'deadline'])
})

void test('bytes for a replay are bounded: while dialling reading stops, afterwards the attempt becomes the last', async (t) => {
  const chunk = Buffer.alloc(16 * 1024)
  const connection = dialing()
  let paused = 0
  for (let sent = 0; sent < replayBytesMax; sent += chunk.length) {
    paused += kinds(connection.step({ kind: 'downstream-bytes', bytes: chunk, nowMs: 2 })).filter((kind) => kind === 'pause-downstream').length
  }
  t.equal(paused, 1)
  t.ok(kinds(connection.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 3 })).includes('resume-downstream'))
  t.same(kinds(connection.step({ kind: 'downstream-bytes', bytes: chunk, nowMs: 4 })), ['send-upstream', 'relay'])
  connection.step({ kind: 'upstream-lost', attempt: 1, how: 'reset', nowMs: 5 })
  t.equal(reasonOf(connection), 'upstream-reset', 'not retried: it could not be replayed')
})

void test('a FIN behind the hello is passed on, and that attempt is the last', async (t) => {
  const connection = awaiting()
  t.same(kinds(connection.step({ kind: 'downstream-fin', nowMs: 3 })), ['relay', 'finish-upstream', 'deadline'])
  connection.step({ kind: 'upstream-lost', attempt: 1, how: 'reset', nowMs: 4 })
  t.equal(reasonOf(connection), 'upstream-reset')
})

void test('the idle deadline moves with the bytes, and the drain deadline does not', async (t) => {
  const connection = relaying()
  t.same(connection.step({ kind: 'deadline', lastActivityMs: 1_000_000, nowMs: 3_600_002 }), [{ kind: 'deadline', atMs: 4_600_000 }])
  t.same(connection.step({ kind: 'drain', nowMs: 3_600_003 }), [{ kind: 'deadline', atMs: 4_200_003 }])
  t.same(connection.step({ kind: 'drain', nowMs: 3_700_000 }), [{ kind: 'deadline', atMs: 4_200_003 }], 'a second drain adds no time')
})

void test('a drain that began before the hello still bounds the relayed connection', async (t) => {
  const connection = started()
  connection.step({ kind: 'drain', nowMs: 0 })
  connection.step({ kind: 'downstream-bytes', bytes: hello, nowMs: 1 })
  connection.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 2 })
  connection.step({ kind: 'upstream-answered', attempt: 1, nowMs: 3 })
  t.same(connection.step({ kind: 'deadline', lastActivityMs: 3, nowMs: 5_002 }).at(-1), { kind: 'deadline', atMs: 600_000 })
})

void test('a PROXY header decides the client, and is passed on when the tenant asks', async (t) => {
  const source = { address: '203.0.113.9', port: 1234 }
  const destination = { address: '198.51.100.1', port: 6443 }
  for (const version of ['v1', 'v2'] as const) {
    const header = encodeProxyHeader({ version, source, destination })
    const connection = started({
      listener: { proxyProtocol: { trustedSources: ['192.0.2.0/24'] } },
      tenant: { sendProxyProtocol: version === 'v1' ? { version } : { version, tlvs: [] }, allowedSources: ['203.0.113.0/24'] },
    })
    const bytes = Buffer.concat([header, hello])
    for (const byte of bytes) connection.step({ kind: 'downstream-bytes', bytes: Uint8Array.of(byte), nowMs: 1 })
    const sent = connection.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 2 })[0]
    t.same(sent?.kind === 'send-upstream' && Buffer.from(sent.bytes), bytes, 'the same header and the hello, in one piece')
    connection.step({ kind: 'stop', reason: 'gateway-stopped', nowMs: 3 })
    t.match(connection.record({ bytesFromDownstream: 0, bytesFromUpstream: 0 }), { client: source, downstream: client })
  }
})

void test('a PROXY header tells the name that was asked for, and an id: the one that came, or the connection’s own', async (t) => {
  const source = { address: '203.0.113.9', port: 1234 }
  const sendProxyProtocol = { version: 'v2', tlvs: ['authority', 'unique-id', 'crc32c'] } as const
  const sentOf = (connection: Connection): ProxyHeaderProgress => {
    const sent = connection.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 2 })[0]
    return new ProxyHeaderReader().push(sent?.kind === 'send-upstream' ? sent.bytes : Buffer.alloc(0))
  }
  const named = started({ tenant: { sendProxyProtocol } })
  named.step({ kind: 'downstream-bytes', bytes: buildClientHello({ serverName: 'ACME.Example.Test' }), nowMs: 1 })
  t.match(sentOf(named), { header: { source: client, tlvs: { authority: 'acme.example.test', uniqueId: Buffer.from('c1') } } }, 'as it routes')
  const came = started({ tenant: { sendProxyProtocol }, listener: { proxyProtocol: { trustedSources: ['192.0.2.0/24'] } } })
  const header = encodeProxyHeader({ version: 'v2', source, destination: local, authority: 'another.example.test', uniqueId: Buffer.from([0, 1, 255]), ticket: Buffer.from('t') })
  came.step({ kind: 'downstream-bytes', bytes: Buffer.concat([header, hello]), nowMs: 1 })
  t.match(sentOf(came), { header: { source, tlvs: { authority: 'acme.example.test', uniqueId: Buffer.from([0, 1, 255]) } } })
  came.step({ kind: 'stop', reason: 'gateway-stopped', nowMs: 3 })
  t.same(came.record({ bytesFromDownstream: 0, bytesFromUpstream: 0 }).proxied, { authority: 'another.example.test', uniqueId: new Uint8Array([0, 1, 255]) })
  const unnamed = started({ withoutHello: true, tenant: { sendProxyProtocol } })
  t.same(Object.keys((sentOf(unnamed) as { readonly header: ProxyHeader }).header.tlvs), ['uniqueId'], 'where there is no hello there is no name')
})

void test('a connection to a tunnel hostname is handed over with every byte from its hello on, and nothing is dialled', async (t) => {
  const source = { address: '203.0.113.9', port: 1234 }
  const header = encodeProxyHeader({ version: 'v2', source, destination: local })
  const early = Buffer.from('early data')
  const wire = Buffer.concat([header, tunnelHello, early])
  const pieces: readonly (readonly Uint8Array[])[] = [
    [wire],
    [wire.subarray(0, header.length + 7), wire.subarray(header.length + 7)],
    [...Array.from(wire.subarray(0, header.length + tunnelHello.length - 1), (byte) => Uint8Array.of(byte)), wire.subarray(-early.length - 1)],
  ]
  for (const cut of pieces) {
    const connection = started({ listener: { proxyProtocol: { trustedSources: ['192.0.2.0/24'] } } })
    const effects = cut.flatMap((bytes) => connection.step({ kind: 'downstream-bytes', bytes, nowMs: 4 }))
    t.same(effects, [{ kind: 'end', downstream: { how: 'hand-over', bytes: Buffer.concat([tunnelHello, early]) }, upstream: 'none' }])
    const record = connection.record({ bytesFromDownstream: wire.length, bytesFromUpstream: 0 })
    t.match(record, { reason: 'handed-over', client: source, downstream: client, serverName: 'tunnel.example.test', attempts: 0, helloMs: 4 })
    t.notOk('tenant' in record)
  }
})

void test('a connection to a tunnel hostname is refused where nobody takes it', async (t) => {
  const connection = started({ handsOver: false })
  const effects = connection.step({ kind: 'downstream-bytes', bytes: tunnelHello, nowMs: 1 })
  t.same(endOf(effects)?.downstream, { how: 'send', bytes: encodeFatalAlert('unrecognized_name') })
  t.equal(reasonOf(connection), 'unknown-server-name')
})

void test('a connection counts as its endpoint’s from the moment that it is dialled, until it ends or another is', async (t) => {
  active.connections = 0
  const connection = started({})
  t.equal(active.connections, 0)
  connection.step({ kind: 'downstream-bytes', bytes: hello, nowMs: 2 })
  t.equal(active.connections, 1)
  connection.step({ kind: 'dial-failed', attempt: 1, failure: 'refused', detail: '', nowMs: 3 })
  t.equal(active.connections, 1, 'another one’s now')
  connection.step({ kind: 'dial-failed', attempt: 2, failure: 'refused', detail: '', nowMs: 4 })
  t.equal(active.connections, 0)
})

void test('any order of events: a connection ends at most once, with a reason, and has no effect after its end', async (t) => {
  const nowMs = fc.integer({ min: 0, max: 10_000_000 })
  const attempt = fc.integer({ min: 0, max: 4 })
  const how = fc.constantFrom('reset', 'unresponsive')
  const bytes = fc.oneof(
    fc.constant<Uint8Array>(hello), fc.constant<Uint8Array>(tunnelHello), fc.constant(hello.subarray(0, 40)), fc.constant(hello.subarray(40)),
    fc.constant<Uint8Array>(Buffer.alloc(40_000)), fc.uint8Array({ maxLength: 40 }),
  )
  const event: fc.Arbitrary<ConnectionEvent> = fc.oneof(
    fc.record({ kind: fc.constant('downstream-bytes' as const), bytes, nowMs }),
    fc.record({ kind: fc.constantFrom('downstream-fin' as const, 'downstream-finished' as const, 'drain' as const), nowMs }),
    fc.record({ kind: fc.constant('downstream-lost' as const), how, nowMs }),
    fc.record({ kind: fc.constantFrom('dial-succeeded' as const, 'upstream-answered' as const, 'upstream-fin' as const, 'upstream-finished' as const), attempt, nowMs }),
    fc.record({ kind: fc.constantFrom('dial-resolving' as const, 'dial-resolved' as const), attempt }),
    fc.record({ kind: fc.constant('dial-failed' as const), attempt, failure: fc.constantFrom('refused', 'timeout', 'unreachable', 'error'), detail: fc.string(), nowMs }),
    fc.record({ kind: fc.constant('upstream-lost' as const), attempt, how, nowMs }),
    fc.record({ kind: fc.constant('deadline' as const), lastActivityMs: nowMs, nowMs }),
  )
  fc.assert(fc.property(fc.constantFrom(started, dialing, awaiting, relaying), fc.array(event, { maxLength: 40 }), (make, events) => {
    active.connections = 0
    const connection = make()
    let ends = 0
    let dials = 0
    for (const next of [...events, { kind: 'stop', reason: 'gateway-stopped', nowMs: 10_000_001 } as const]) {
      const wasEnded = connection.ended
      const effects = connection.step(next)
      if (wasEnded && effects.length > 0) throw new Error('an effect after the end')
      for (const effect of effects) {
        if (effect.kind === 'end') ends += 1
        if (effect.kind === 'dial') dials += 1
        if (effect.kind === 'deadline' && !(effect.atMs >= 0)) throw new Error('a deadline that is no time')
      }
      if (active.connections < 0 || active.connections > 1) throw new Error('it is not once among the connections of its endpoint')
      if (ends > 0 && effects.length > 0 && effects.at(-1)?.kind !== 'end') throw new Error('an effect behind the end')
    }
    if (active.connections !== 0) throw new Error('it is still among the connections of an endpoint')
    if (ends !== 1) throw new Error(`ended ${ends} times`)
    if (dials > 3) throw new Error('more dials than attempts')
    reasonOf(connection)
  }), { numRuns: 2_000 })
  t.pass()
})

void test('on a listener without hello the endpoint is dialled at once, and asked when the client speaks', async (t) => {
  const connection = machine({ withoutHello: true })
  t.same(kinds(connection.start({ atConnectionLimit: false })), ['dial', 'deadline'])
  t.notOk(connection.hasFirstBytes, 'its endpoint may have to speak first')
  t.same(kinds(connection.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 2 })), ['send-upstream', 'deadline'])
  t.same(connection.step({ kind: 'downstream-bytes', bytes: Buffer.from('anything'), nowMs: 1_000 }), [{ kind: 'send-upstream', bytes: Buffer.from('anything') }, { kind: 'deadline', atMs: 1_000 + answerTimeoutMs }])
  t.same(kinds(connection.step({ kind: 'upstream-answered', attempt: 1, nowMs: 1_001 })), ['relay'])
  t.same(kinds(connection.step({ kind: 'deadline', lastActivityMs: 1_001, nowMs: 1_000 + answerTimeoutMs })), ['deadline'], 'an answer was all that was waited for')
})

void test('on a listener without hello silence is no answer: the next endpoint is asked, and then it is handed over', async (t) => {
  const connection = machine({ withoutHello: true })
  connection.start({ atConnectionLimit: false })
  connection.step({ kind: 'downstream-bytes', bytes: Buffer.from('anything'), nowMs: 1 })
  t.ok(connection.hasFirstBytes)
  connection.step({ kind: 'dial-succeeded', attempt: 1, nowMs: 2 })
  t.same(kinds(connection.step({ kind: 'deadline', lastActivityMs: 2, nowMs: 2 + answerTimeoutMs })), ['drop-upstream', 'dial', 'deadline'])
  connection.step({ kind: 'dial-succeeded', attempt: 2, nowMs: 6_000 })
  const end = endOf(connection.step({ kind: 'deadline', lastActivityMs: 6_000, nowMs: 6_000 + answerTimeoutMs }))
  t.same(end, { kind: 'end', downstream: { how: 'hand-over', bytes: Buffer.from('anything') }, upstream: 'reset' })
  t.match(connection.record({ bytesFromDownstream: 8, bytesFromUpstream: 0 }), { reason: 'handed-over', detail: 'answer-timeout: no byte of an answer within 5000 ms', attempts: 2 })
})
