import { test } from 'tap'
import { formatStatus } from '../../../src/cli/agent/format-status.ts'
import type { AgentStatus } from '../../../src/core/tunnel/agent-status.ts'

const nowMs = Date.parse('2026-01-02T03:04:05Z')

function before(seconds: number): string {
  return new Date(nowMs - seconds * 1_000).toISOString()
}

const status: AgentStatus = {
  node: 'worker-1', version: '0.1.0', since: before(200_000), ready: true, proxy: 'squid.example.com:3128',
  gateways: [
    { gateway: 'one.example.com:6443', state: 'up', since: before(11_100), rttMs: 0.834, streams: 12 },
    { gateway: 'two.example.com:6443', state: 'waiting', since: before(3), rttMs: 212.4, streams: 0, lastError: { at: before(3), why: 'no TCP connection to the gateway two.example.com:6443: ECONNREFUSED' }, nextTry: before(-7) },
    { gateway: 'three:6443', state: 'connecting', since: before(1), streams: 0, lastError: { at: before(119), why: '401 token-expired' }, refusedAnnouncements: [{ announced: '10.0.0.0/8', why: 'not within what the tenant may announce' }] },
  ],
  forwards: [{ address: '172.30.0.1:6443', connections: 12, waiting: 0 }],
  reverse: { connections: 3, dials: 1 },
}

void test('a status as a table', (t) => {
  t.equal(formatStatus(status, nowMs), `node worker-1, agent 0.1.0, up for 2 d 7 h, through the proxy squid.example.com:3128

GATEWAY               STATE       FOR         RTT     STREAMS
one.example.com:6443  up          3 h 05 min  0.8 ms  12
two.example.com:6443  waiting     3 s         212 ms  0
three:6443            connecting  1 s         -       0

LISTENS ON       CONNECTIONS  WAITING
172.30.0.1:6443  12           0

The API server has 3 connections to this side, 1 of them being dialled.

ANNOUNCED, AND NOT TAKEN
10.0.0.0/8 at three:6443: not within what the tenant may announce

LAST ERRORS
two.example.com:6443, 3 s ago: no TCP connection to the gateway two.example.com:6443: ECONNREFUSED; next try in 7 s
three:6443, 119 s ago: 401 token-expired (make a new token (sluice token create))
`)
  t.end()
})

void test('no session is told first, and nothing that a gateway said moves the terminal', (t) => {
  const text = formatStatus({ ...status, ready: false, gateways: [{ gateway: 'one:6443', state: 'waiting', since: before(0), streams: 0, lastError: { at: before(0), why: 'closed: \u001b[2J' } }] }, nowMs)
  t.match(text, /^node .*\nNo session is up\.\n/)
  t.notMatch(text, '\u001b')
  t.end()
})
