// A peer, looked at again and again: what it sends by itself, which questions it answers, and how soon.

import fc from 'fast-check'
import { test } from 'tap'
import { askNext, lookAfterMs, questionsMax } from '../../src/core/peer-silence.ts'

interface Peer {
  /** When it sends something by itself, in ms after `beganMs`; rising. */
  readonly sends: readonly number[]
  readonly beganMs: number
  readonly number: number
  /** By the question's place among all, from 0: what its answer takes; undefined: it, or its answer, is lost. */
  readonly answersMs: (question: number) => number | undefined
  /** Looks are late by so much; by the look's place. */
  readonly lateMs: (look: number) => number
}

/** @returns when it counted as gone, in ms after it began; Infinity: it did not, in `forMs` */
function watch({ sends, beganMs, number, answersMs, lateMs }: Peer, forMs: number): number {
  const heard = [0, ...sends]
  let [asked, lookedMs, questions, looks] = [-1, 0, 0, 0]
  for (;;) {
    const atMs = lookedMs + lookAfterMs(asked, beganMs + lookedMs, number) + lateMs(looks)
    if (atMs > forMs) return Infinity
    looks += 1
    const silentMs = atMs - Math.max(...heard.filter((each) => each <= atMs))
    asked = askNext(Math.max(0, asked), silentMs, atMs - lookedMs)
    lookedMs = atMs
    if (asked === -1) return atMs
    if (asked === 0) continue
    const answerMs = answersMs(questions)
    questions += 1
    if (answerMs !== undefined) heard.push(atMs + answerMs)
  }
}

void test('who has just been heard of is not asked; who is silent is, and again, sooner; who answers nothing is gone', async (t) => {
  t.equal(askNext(0, 300, 4_000), 0)
  t.equal(askNext(0, 4_000, 4_000), 1)
  t.equal(askNext(1, 990, 1_000), 0, 'an answer came')
  t.equal(askNext(1, 3_990, 4_000), 1, 'an answer came, and it has been silent since: the look is late')
  t.equal(askNext(1, 7_000, 1_000), 2)
  t.equal(askNext(2, 8_000, 1_000), 3)
  t.equal(askNext(questionsMax, 11_000, 1_000), -1)
})

void test('each peer has a turn of its own, whenever it was looked at; only where an answer is due it comes sooner', async (t) => {
  const turnOf = (lookedMs: number, asked: number, number: number): number => (lookedMs + lookAfterMs(asked, lookedMs, number)) % 6_144
  for (const lookedMs of [10_000, 10_500.25, 123_456]) {
    for (const asked of [-1, 0]) t.equal(turnOf(lookedMs, asked, 7), 7 * 16)
    t.equal(turnOf(lookedMs, 0, 8), 8 * 16)
    t.equal(lookAfterMs(1, lookedMs, 7), 1_000)
  }
  fc.assert(fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.nat(1e6), (lookedMs, number) => {
    const [first, next] = [lookAfterMs(-1, lookedMs, number), lookAfterMs(0, lookedMs, number)]
    return first >= 1_000 && first < 7_200 && next >= 500 && next < 6_700
  }))
})

const peer = fc.record({
  sends: fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 20 }).map((times) => times.toSorted((a, b) => a - b)),
  beganMs: fc.integer({ min: 0, max: 10_000 }),
  number: fc.nat(1_000),
  lateMs: fc.array(fc.integer({ min: 0, max: 250 }), { minLength: 10, maxLength: 10 }).map((each) => (look: number): number => each[look % each.length] ?? 0),
})

void test('who answers in time, or is only slow, is never gone, though of five questions in a row four get lost', async () => {
  const answersMs = fc.array(fc.option(fc.integer({ min: 0, max: 900 }), { nil: undefined }), { minLength: 50, maxLength: 50 })
    .map((answers) => (question: number): number | undefined => answers[question % answers.length] ?? (question % questionsMax === questionsMax - 1 ? 900 : undefined))
  fc.assert(fc.property(peer, answersMs, (each, answers) => watch({ ...each, answersMs: answers }, 300_000) === Infinity))
  fc.assert(fc.property(peer, fc.integer({ min: 0, max: 3_000 }), (each, slowMs) => watch({ ...each, answersMs: () => slowMs }, 300_000) === Infinity))
})

void test('who answers nothing is gone 7 to 15 s after it was heard of last, whenever that was', async () => {
  fc.assert(fc.property(peer, (each) => {
    const gone = watch({ ...each, answersMs: () => undefined }, 300_000)
    const silentMs = gone - Math.max(0, ...each.sends.filter((at) => at <= gone))
    return silentMs >= 7_000 && silentMs <= 15_000
  }), { numRuns: 2_000 })
})
