// A peer, looked at again and again: what it sends by itself, which questions it answers, and how soon.

import fc from 'fast-check'
import { test } from 'tap'
import { askNext, lookAfterMs, questionsMax } from '../../src/core/peer-silence.ts'

interface Peer {
  /** When it sends something by itself, in ms; rising. */
  readonly sends: readonly number[]
  readonly firstLookMs: number
  /** By the question's place among all, from 0: what its answer takes; undefined: it, or its answer, is lost. */
  readonly answersMs: (question: number) => number | undefined
  /** Looks are late by up to so much; by the look's place. */
  readonly lateMs?: (look: number) => number
}

/** @returns when it counted as gone; Infinity: it did not, until `untilMs` */
function watch({ sends, firstLookMs, answersMs, lateMs = () => 0 }: Peer, untilMs: number): number {
  const heard = [0, ...sends]
  let [asked, lookedMs, questions, looks] = [0, 0, 0, 0]
  for (let atMs = firstLookMs; atMs < untilMs; atMs += lookAfterMs(asked) + lateMs(looks)) {
    looks += 1
    const silentMs = atMs - Math.max(...heard.filter((each) => each <= atMs))
    asked = askNext(asked, silentMs, atMs - lookedMs)
    lookedMs = atMs
    if (asked === -1) return atMs
    if (asked === 0) continue
    const answerMs = answersMs(questions)
    questions += 1
    if (answerMs !== undefined) heard.push(atMs + answerMs)
  }
  return Infinity
}

void test('who has just been heard of is not asked; who is silent is, and again, sooner; who answers nothing is gone', async (t) => {
  t.equal(askNext(0, 300, 4_000), 0)
  t.equal(askNext(0, 4_000, 4_000), 1)
  t.equal(askNext(1, 3_990, 4_000), 1, 'an answer came; it has been silent since')
  t.equal(askNext(1, 500, 4_000), 0, 'it spoke by itself')
  t.equal(askNext(1, 8_000, 4_000), 2)
  t.equal(askNext(2, 9_000, 1_000), 3)
  t.equal(askNext(questionsMax, 14_000, 1_000), -1)
  t.ok(lookAfterMs(2) < lookAfterMs(1))
  t.equal(lookAfterMs(0), lookAfterMs(1))
})

const sends = fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 20 }).map((times) => times.toSorted((a, b) => a - b))
const firstLookMs = fc.integer({ min: 1_000, max: 5_200 })
const late = fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 10, maxLength: 10 }).map((each) => (look: number): number => each[look % each.length] ?? 0)

void test('who answers in time, or is only slow, is never gone, though of five questions in a row four get lost', async () => {
  fc.assert(fc.property(sends, firstLookMs, late, fc.array(fc.option(fc.integer({ min: 0, max: 900 }), { nil: undefined }), { minLength: 50, maxLength: 50 }), (sent, first, lateMs, answers) => {
    const answersMs = (question: number): number | undefined => answers[question % answers.length] ?? (question % questionsMax === questionsMax - 1 ? 900 : undefined)
    return watch({ sends: sent, firstLookMs: first, lateMs, answersMs }, 300_000) === Infinity
  }))
  fc.assert(fc.property(sends, firstLookMs, late, fc.integer({ min: 0, max: 3_000 }), (sent, first, lateMs, slowMs) =>
    watch({ sends: sent, firstLookMs: first, lateMs, answersMs: () => slowMs }, 300_000) === Infinity))
})

void test('who answers nothing is gone 9 to 15 s after it was heard of last, whenever that was', async () => {
  fc.assert(fc.property(sends, firstLookMs, late, (sent, first, lateMs) => {
    const gone = watch({ sends: sent, firstLookMs: first, lateMs, answersMs: () => undefined }, 300_000)
    const lastMs = Math.max(0, ...sent.filter((each) => each <= gone))
    return gone - lastMs >= 9_000 && gone - lastMs <= 15_000
  }), { numRuns: 1_000 })
})
