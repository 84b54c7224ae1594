// What doctor makes of what it sees: tables.

import { test } from 'tap'
import { clockVerdict, dialVerdict, endpointVerdict, identityVerdict, pathVerdict, tlsVerdict, type TlsFacts } from '../../../src/cli/doctor/gateway-verdicts.ts'
import { forwardVerdict, stateVerdict, tokenVerdict, type ForwardFacts, type StateFacts } from '../../../src/cli/doctor/node-verdicts.ts'
import { formatCheck, formatSummary, type Verdict } from '../../../src/cli/doctor/verdict.ts'
import type { ConnectStep } from '../../../src/core/tunnel/agent-observer.ts'

type Row<Facts> = readonly (readonly [facts: Facts, kind: Verdict['kind'], expected: RegExp])[]

/** Every verdict as it is printed: on one line, its advice behind it. */
function printed(verdict: Verdict): string {
  return verdict.kind === 'failed' ? `${verdict.text} ▶ ${verdict.advice}` : verdict.text
}

const dials: Row<{ readonly step: ConnectStep; readonly message: string }> = [
  [{ step: 'name', message: 'ENOTFOUND' }, 'failed', /getent hosts/],
  [{ step: 'tcp', message: 'x: ECONNREFUSED' }, 'failed', /nothing listens/],
  [{ step: 'tcp', message: 'x: ENETUNREACH' }, 'failed', /no route/],
  [{ step: 'tcp', message: 'x: nothing within 10 s' }, 'failed', /firewall.*proxy\.url/],
  [{ step: 'proxy-answer', message: 'x answers 403' }, 'failed', /CONNECT to gw:6443/],
  [{ step: 'tls', message: 'tlsv1 unrecognized name' }, 'failed', /tunnel\.hostnames/],
  [{ step: 'tls', message: 'unsupported protocol' }, 'failed', /something in between ends TLS/],
  [{ step: 'tls', message: 'wrong version number' }, 'failed', /does not speak TLS/],
  [{ step: 'tls', message: 'something else' }, 'failed', /openssl s_client/],
]

const nowMs = Date.parse('2026-06-01T00:00:00Z')
const tls: TlsFacts = { fault: undefined, host: 'gw', protocol: 'TLSv1.3', issuer: 'Acme CA', names: 'DNS:other', validFromMs: nowMs - 86_400_000, validToMs: nowMs + 30 * 86_400_000, nowMs, hasCaFile: false }

const certificates: Row<Partial<TlsFacts>> = [
  [{}, 'ok', /TLSv1\.3, exporter; certificate of Acme CA, 30 days left/],
  [{ validToMs: nowMs + 2 * 86_400_000 }, 'failed', /has 2 days left ▶ renew it/],
  [{ fault: 'CERT_HAS_EXPIRED', validToMs: nowMs - 1 }, 'failed', /expired on 2026-05-31 ▶ renew it/],
  [{ fault: 'CERT_NOT_YET_VALID' }, 'failed', /valid from 2026-05-31 only ▶ is the clock below wrong/],
  [{ fault: 'ERR_TLS_CERT_ALTNAME_INVALID' }, 'failed', /is not for gw, but for DNS:other ▶/],
  [{ fault: 'SELF_SIGNED_CERT_IN_CHAIN' }, 'failed', /comes from Acme CA, whom this node does not trust \(SELF_SIGNED_CERT_IN_CHAIN\) ▶ set caFile/],
  [{ fault: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', hasCaFile: true }, 'failed', /▶ caFile must hold/],
]

/** The gateway says 00:00:00; this node's clock, in ms from there, as the request went and as the answer came. */
const clocks: Row<readonly [sentMs: number, receivedMs: number]> = [
  [[0, 5], 'ok', /the same as the gateway’s/],
  [[900, 905], 'ok', /the same/],
  [[-400, -395], 'ok', /0\.4 s behind the gateway’s/],
  [[31_001, 31_005], 'failed', /30 s ahead of the gateway’s ▶ set the clock/],
  [[31_000, 31_005], 'ok', /30\.0 s ahead of/],
  [[-3_600_000, -3_600_000], 'failed', /3600 s behind/],
  [[-35_000, -29_000], 'ok', /29\.0 s behind/],
]

const refusal = { why: '401 x', status: 401, reason: undefined, retryAfterMs: 0 }

const identities: Row<Parameters<typeof identityVerdict>> = [
  [[{ kind: 'session', rttMs: 1.26 }, { hasToken: false }], 'ok', /let in.*round trip 1\.3 ms/],
  [[{ kind: 'refused', refusal: { ...refusal, why: '401 node-unknown', reason: 'node-unknown' } }, { hasToken: true }], 'ok', /not enrolled yet/],
  [[{ kind: 'refused', refusal: { ...refusal, why: '401 node-unknown', reason: 'node-unknown' } }, { hasToken: false }], 'failed', /401 node-unknown ▶ .*join token/],
  [[{ kind: 'refused', refusal: { ...refusal, why: '401 node-revoked', reason: 'node-revoked' } }, { hasToken: true }], 'failed', /▶ the node was revoked/],
  [[{ kind: 'refused', refusal: { ...refusal, why: '503 draining', status: 503, reason: 'draining' } }, { hasToken: true }], 'skipped', /takes no session now \(503 draining\): the gateway goes/],
  [[{ kind: 'refused', refusal: { ...refusal, why: '418' } }, { hasToken: true }], 'failed', /▶ look into the gateway’s log/],
  [[{ kind: 'failed', why: 'silent' }, { hasToken: true }], 'failed', /no session: silent ▶ .*Upgrade: websocket/],
]

void test('the way to a gateway', (t) => {
  const check = (verdict: Verdict, kind: Verdict['kind'], expected: RegExp): void => {
    t.equal(verdict.kind, kind, String(expected))
    t.match(printed(verdict), expected)
  }
  for (const [facts, kind, expected] of dials) check(dialVerdict({ ...facts, gateway: 'gw:6443' }), kind, expected)
  for (const [facts, kind, expected] of certificates) check(tlsVerdict({ ...tls, ...facts }), kind, expected)
  for (const [[sentMs, receivedMs], kind, expected] of clocks) check(clockVerdict({ date: new Date(nowMs).toUTCString(), sentMs: nowMs + sentMs, receivedMs: nowMs + receivedMs }), kind, expected)
  for (const date of [undefined, 'soon']) check(clockVerdict({ date, sentMs: nowMs, receivedMs: nowMs }), 'skipped', /does not tell the time/)
  for (const [facts, kind, expected] of identities) check(identityVerdict(...facts), kind, expected)
  check(endpointVerdict({ status: 426, upgrade: 'websocket' }), 'ok', /a tunnel gateway answers/)
  check(endpointVerdict({ status: 401, upgrade: undefined }), 'failed', /no tunnel gateway: 401/)
  check(endpointVerdict({ status: undefined, upgrade: undefined }), 'failed', /no tunnel gateway: nothing/)
  check(pathVerdict({ what: '12288 bytes at once', ms: 3.14 }), 'ok', /reach the gateway: 12288 bytes at once, answered in 3\.1 ms/)
  check(pathVerdict({ what: '12288 bytes at once', ms: undefined }), 'failed', /12288 bytes at once gets no answer ▶ .*MTU/)
  t.end()
})

const state: StateFacts = { directory: '/state', place: { kind: 'present', mode: 0o40700 }, isWritable: true, key: { file: '/state/node-key.pem', mode: 0o100600, fault: undefined } }

const states: Row<Partial<StateFacts>> = [
  [{}, 'ok', /the node’s key is there/],
  [{ key: undefined }, 'ok', /no key yet/],
  [{ key: undefined, place: { kind: 'absent', above: '/' } }, 'ok', /no key yet/],
  [{ key: undefined, place: { kind: 'absent', above: '/' }, isWritable: false }, 'failed', /\/state is not there, and \/ can’t be written/],
  [{ key: undefined, isWritable: false }, 'failed', /\/state can’t be written, so no key/],
  [{ isWritable: false }, 'ok', /key is there/],
  [{ key: { file: '/state/node-key.pem', mode: 0o100640, fault: undefined } }, 'failed', /read by others \(mode 640\) ▶ chmod 600 \/state\/node-key\.pem/],
  [{ place: { kind: 'present', mode: 0o40777 } }, 'failed', /written by others \(mode 777\) ▶ chmod 700/],
  [{ key: { file: '/state/node-key.pem', mode: 0, fault: 'EACCES' } }, 'failed', /can’t be used: EACCES ▶ run this as the agent’s user/],
]

const token = { file: 'join-token', text: `sluice1.${'0'.repeat(16)}.${'A'.repeat(43)}` }
const tokens: Row<Parameters<typeof tokenVerdict>[0]> = [
  [{ token, hasKey: false }, 'ok', /is there; whether it is valid/],
  [{ token: { ...token, text: 'x' }, hasKey: false }, 'failed', /join-token holds no join token/],
  [{ token: undefined, hasKey: true }, 'ok', /^none/],
  [{ token: undefined, hasKey: false }, 'failed', /no key and no join token ▶ .*token\.file/],
  [{ token: { fault: 'ENOENT' }, hasKey: false }, 'failed', /can’t be read: ENOENT/],
  [{ token: { fault: 'ENOENT' }, hasKey: true }, 'ok', /none is there/],
]

const forward: ForwardFacts = { address: '172.30.0.1:6443', host: '172.30.0.1', addAddress: false, isOnNode: true, canAdd: false, bindFault: undefined, isAgents: false }
const forwards: Row<Partial<ForwardFacts>> = [
  [{}, 'ok', /172\.30\.0\.1:6443 can be listened on/],
  [{ isAgents: true, bindFault: 'EADDRINUSE' }, 'ok', /the agent that runs here listens/],
  [{ bindFault: 'EADDRINUSE' }, 'failed', /in use by another program ▶ see which/],
  [{ bindFault: 'EACCES' }, 'failed', /below 1024 ▶ give it CAP_NET_BIND_SERVICE/],
  [{ bindFault: 'EINVAL' }, 'failed', /can’t be bound: EINVAL/],
  [{ isOnNode: false, bindFault: 'EADDRNOTAVAIL' }, 'failed', /no device.*▶ set addAddress: true, or add it yourself: ip address add 172\.30\.0\.1\/32 dev lo/],
  [{ isOnNode: false, host: 'fd00::1' }, 'failed', /fd00::1\/128 dev lo/],
  [{ isOnNode: false, addAddress: true, canAdd: true }, 'ok', /the agent adds the address/],
  [{ isOnNode: false, addAddress: true }, 'failed', /may not ▶ give it CAP_NET_ADMIN/],
]

void test('the node itself', (t) => {
  const check = (verdict: Verdict, kind: Verdict['kind'], expected: RegExp): void => {
    t.equal(verdict.kind, kind, String(expected))
    t.match(printed(verdict), expected)
  }
  for (const [facts, kind, expected] of states) check(stateVerdict({ ...state, ...facts }), kind, expected)
  for (const [facts, kind, expected] of tokens) check(tokenVerdict(facts), kind, expected)
  for (const [facts, kind, expected] of forwards) check(forwardVerdict({ ...forward, ...facts }), kind, expected)
  t.end()
})

void test('checks are a line each, what to do below, and nothing that a peer said moves the terminal', (t) => {
  const verdicts: Verdict[] = [{ kind: 'ok', text: 'fine' }, { kind: 'failed', text: 'bad \u001b[2J', advice: 'mend it' }, { kind: 'skipped', text: 'not here' }]
  t.equal(verdicts.map((verdict) => formatCheck({ name: 'tls', verdict })).join(''), `ok      tls            fine
FAILED  tls            bad \\u{1b}[2J
                       ▶ mend it
-       tls            not here
`)
  t.equal(formatSummary(verdicts), '\n1 of 2 checks failed\n')
  t.equal(formatSummary(verdicts.slice(0, 1)), '\nall 1 checks are ok\n')
  t.end()
})
