import { test } from 'tap'
import type { BackendFacts, ClientFacts } from './facts.ts'
import { History } from './history.ts'
import { judge } from './judge.ts'
import type { ExchangePlan, StrayPlan } from './plan.ts'

const hello = { fillerBytes: 0, recordBytes: 16_384, cuts: [], gapMs: 0 }
const pace = { chunkBytes: 100, gapMs: 0 }
const backendPlan = { id: 1, seed: 1, upBytes: 1_000, answer: 'stream', downBytes: 2_000, end: 'whole', resetAtBytes: 0, answerDelayMs: 0, pace } as const
const plan: ExchangePlan = { kind: 'exchange', id: 1, tenant: 'one0', hello, eagerBytes: 0, pace, fin: 'when-sent', backend: backendPlan }
const unknown: StrayPlan = { kind: 'unknown-name', id: 1, seed: 1, tenant: 'one1', hello, leave: 'fin', leaveAfterMs: 0, part: 1 }
const nowMs = Date.now()
const client: ClientFacts = {
  from: 'client', id: 1, startMs: nowMs - 1_000, endMs: nowMs, localPort: 40_000, answeredBy: { index: 0, generation: 1 }, answeredAtMs: nowMs - 900,
  sentBytes: 1_000, receivedBytes: 2_000, sentFin: true, end: 'fin', lateMs: 0,
}
const { answeredBy: _, answeredAtMs: __, ...notAnswered } = client
const unanswered: ClientFacts = { ...notAnswered, receivedBytes: 0, sentBytes: 0, sentFin: false, alert: 80 }
const backend: BackendFacts = { from: 'backend', id: 1, endMs: nowMs, index: 0, generation: 1, sentBytes: 2_000, receivedBytes: 1_000, end: 'fin' }
const resetting: ExchangePlan = { ...plan, backend: { ...backendPlan, end: 'reset' } }

void test('a connection that nobody broke must be whole at both ends', (t) => {
  const history = new History()
  t.match(judge(plan, client, backend, history), { kind: 'whole' })
  const wrongs: readonly (readonly [string, Partial<ClientFacts>, Partial<BackendFacts>])[] = [
    ['a byte short at the client', { receivedBytes: 1_999 }, {}],
    ['a byte short at the backend', {}, { receivedBytes: 999 }],
    ['RST instead of FIN at the client', { end: 'reset' }, {}],
    ['RST instead of FIN at the backend', {}, { end: 'reset' }],
    ['a wrong byte at the client', { wrong: 'a wrong byte' }, {}],
    ['a wrong byte at the backend', {}, { wrong: 'a wrong byte' }],
    ['more at the backend than was sent', {}, { receivedBytes: 1_001 }],
    ['stuck', { end: 'stuck' }, {}],
  ]
  for (const [what, ofClient, ofBackend] of wrongs) t.match(judge(plan, { ...client, ...ofClient }, { ...backend, ...ofBackend }, history), { kind: 'wrong' }, what)
  t.match(judge(plan, unanswered, undefined, history), { kind: 'wrong' }, 'an alert, with the backend there')
  t.end()
})

void test('a reset must not look like the end of all bytes', (t) => {
  const history = new History()
  t.match(judge(resetting, { ...client, receivedBytes: 500, end: 'reset' }, { ...backend, end: 'own-reset' }, history), { kind: 'cut by its backend' })
  t.match(judge(resetting, { ...client, receivedBytes: 500, end: 'fin' }, { ...backend, end: 'own-reset' }, history), { kind: 'wrong' })
  const left: ClientFacts = { ...client, sentBytes: 500, receivedBytes: 0, sentFin: false, end: 'left-reset' }
  t.match(judge(plan, left, { ...backend, receivedBytes: 400, end: 'reset' }, history), { kind: 'cut by its client' })
  t.match(judge(plan, left, { ...backend, receivedBytes: 400, end: 'fin' }, history), { kind: 'wrong' })
  t.end()
})

void test('only what was done to its own backend while it lived excuses a connection', (t) => {
  const cut: ClientFacts = { ...client, receivedBytes: 500, end: 'fin', endMs: Date.now() + 60_000 }
  const [own, other, earlier] = [new History(), new History(), new History()]
  own.killed({ index: 0, generation: 1 })
  other.killed({ index: 1, generation: 1 })
  earlier.killed({ index: 0, generation: 1 })
  t.match(judge(plan, cut, undefined, own), { kind: 'backend killed' })
  t.match(judge(plan, cut, { ...backend, end: 'reset' }, other), { kind: 'wrong' })
  t.match(judge(plan, { ...cut, answeredBy: { index: 0, generation: 2 } }, { ...backend, generation: 2, end: 'reset' }, earlier), { kind: 'wrong' }, 'an earlier instance')
  t.match(judge(plan, { ...cut, wrong: 'a wrong byte' }, undefined, own), { kind: 'wrong' }, 'its bytes are a prefix all the same')
  t.match(judge(plan, { ...unanswered, endMs: Date.now() + 60_000 }, undefined, own), { kind: 'backend killed' })
  own.restarted(0)
  const later = Date.now() + 1_000
  t.match(judge(plan, { ...unanswered, startMs: later, endMs: later + 10 }, undefined, own), { kind: 'wrong' }, 'it is back')
  t.end()
})

void test('a worker’s crash excuses a backend that is still sent what its client had sent, and nothing that ended before', (t) => {
  const history = new History()
  history.workerCrashes()
  const early: ClientFacts = { ...client, startMs: nowMs - 9_000, endMs: nowMs - 5_000 }
  const cut: BackendFacts = { ...backend, receivedBytes: 400, end: 'reset' }
  t.match(judge(plan, early, { ...cut, endMs: Date.now() + 1_000 }, history), { kind: 'worker crashed' })
  t.match(judge(plan, early, { ...cut, endMs: nowMs - 4_000 }, history), { kind: 'wrong' })
  t.end()
})

void test('a tenant that reloads take away answers while it is there, and is unknown while it is not', (t) => {
  const volatilePlan: ExchangePlan = { ...plan, tenant: 'volatile0' }
  const history = new History()
  const ended = history.tenantChanges('volatile0', false)
  const refused: ClientFacts = { ...unanswered, alert: 112 }
  const at = (facts: ClientFacts, ms: number): ClientFacts => ({ ...facts, startMs: ms, endMs: ms + 10, ...(facts.answeredBy === undefined ? {} : { answeredAtMs: ms + 5 }) })
  const before = Date.now() - 5_000
  t.match(judge(volatilePlan, at(client, before), backend, history), { kind: 'whole' })
  t.match(judge(volatilePlan, at(refused, before), undefined, history), { kind: 'wrong' })
  t.match(judge(volatilePlan, at(client, Date.now()), backend, history), { kind: 'whole' }, 'while it changes')
  t.match(judge(volatilePlan, at(refused, Date.now()), undefined, history), { kind: 'refused' }, 'while it changes')
  ended()
  const after = Date.now() + 5_000
  t.match(judge(volatilePlan, at(client, after), backend, history), { kind: 'wrong' })
  t.match(judge(volatilePlan, at(refused, after), undefined, history), { kind: 'refused' })
  t.match(judge(unknown, refused, undefined, history), { kind: 'stray' })
  t.match(judge(unknown, unanswered, undefined, history), { kind: 'wrong' })
  t.end()
})
