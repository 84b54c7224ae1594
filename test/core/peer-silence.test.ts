// A peer, looked at again and again: what it sends by itself, which questions it answers, and how soon.

import fc from 'fast-check'
import { test } from 'tap'
import { askNext, clientSilenceMs, isDueSoon, lookAfterMs, owed, questionsMax, type Owed } from '../../src/core/peer-silence.ts'

interface Peer {
  /** When it sends something by itself, in ms after `beganMs`; rising. */
  readonly sends: readonly number[]
  readonly beganMs: number
  readonly number: number
  /** By the question's place among all, from 0, and when it is asked: what its answer takes; undefined: it, or its answer, is lost. */
  readonly answersMs: (question: number, atMs: number) => number | undefined
  /** Looks are late by so much; by the look's place. */
  readonly lateMs: (look: number) => number
  /** By the look's place. @default nothing */
  readonly owes?: (look: number) => Owed
  /** @default 0 */
  readonly goneAfterMs?: number
}

/** @returns when it counted as gone, in ms after it began; Infinity: it did not, in `forMs` */
function watch({ sends, beganMs, number, answersMs, lateMs, owes = () => owed.nothing, goneAfterMs = 0 }: Peer, forMs: number): number {
  const heard = [0, ...sends]
  let [asked, lookedMs, questions, looks] = [-1, 0, 0, 0]
  for (;;) {
    const atMs = lookedMs + lookAfterMs(asked, beganMs + lookedMs, number) + lateMs(looks)
    if (atMs > forMs) return Infinity
    looks += 1
    const silentMs = atMs - Math.max(...heard.filter((each) => each <= atMs))
    asked = askNext(Math.max(0, asked), owes(looks), silentMs, atMs - lookedMs, !isDueSoon(asked), goneAfterMs)
    lookedMs = atMs
    if (asked === -1) return atMs
    if (asked === 0) continue
    const answerMs = answersMs(questions, atMs)
    questions += 1
    if (answerMs !== undefined) heard.push(atMs + answerMs)
  }
}

void test('who has just been heard of is not asked; who is silent is, and again, sooner; who answers nothing is gone', async (t) => {
  const next = (asked: number, silentMs: number, sinceLookMs: number): number => askNext(asked, owed.nothing, silentMs, sinceLookMs, asked === 0, 0)
  t.equal(next(0, 300, 5_000), 0)
  t.equal(next(0, 5_000, 5_000), 1)
  t.equal(askNext(0, owed.nothing, 5_000, 1_000, false, 0), 0, 'not in its turn')
  t.equal(next(1, 990, 1_000), 0, 'an answer came')
  t.equal(next(1, 7_000, 1_000), 2)
  t.equal(next(2, 8_000, 1_000), 3)
  t.equal(next(questionsMax, 12_000, 1_000), -1)
})

void test('what is sent again is a question, in its turn or not; what was written just now is none, and what was asked before counts on', async (t) => {
  t.equal(askNext(0, owed.acknowledgement, 100, 5_000, true, 0), 0)
  t.equal(askNext(0, owed.acknowledgement, 4_000, 5_000, true, 0), 1, 'it will be known in a second')
  t.equal(askNext(0, owed.inVain, 700, 5_000, true, 0), 1)
  t.equal(askNext(0, owed.inVain, 700, 1_000, false, 0), 1)
  t.equal(askNext(0, owed.inVain, 60_000, 5_000, true, 0), 1, 'however long it was silent while it owed nothing')
  t.equal(askNext(3, owed.acknowledgement, 9_000, 1_000, false, 0), 3)
  t.equal(askNext(3, owed.inVain, 9_000, 1_000, false, 0), 4)
  t.equal(askNext(3, owed.inVain, 800, 1_000, false, 0), 1, 'heard of')
  t.equal(askNext(3, owed.acknowledgement, 800, 1_000, false, 0), 0)
  t.equal(askNext(questionsMax, owed.inVain, 12_000, 1_000, false, 0), -1)
})

void test('who may be silent for longer and left all questions unanswered is asked in its turns, until that is over too', async (t) => {
  const inTurns = askNext(questionsMax, owed.nothing, 12_000, 1_000, false, 45_000)
  t.ok(inTurns > 0)
  t.same([isDueSoon(questionsMax), isDueSoon(inTurns)], [true, false])
  t.equal(lookAfterMs(inTurns, 10_000, 7), lookAfterMs(0, 10_000, 7))
  t.equal(askNext(inTurns, owed.nothing, 44_000, 5_120, true, 45_000), inTurns)
  t.equal(askNext(inTurns, owed.inVain, 44_000, 5_120, true, 45_000), inTurns)
  t.equal(askNext(inTurns, owed.nothing, 5_100, 5_120, true, 45_000), 1, 'an answer came, and nothing since')
  t.equal(askNext(inTurns, owed.nothing, 45_000, 5_120, true, 45_000), -1)
  t.equal(askNext(inTurns, owed.nothing, 70_000, 40_000, true, 45_000), inTurns, 'nobody was asked for so long')
})

void test('a reader that has stopped is not asked, and looked at in its turn, while it answers the probes of its window', async (t) => {
  t.equal(askNext(0, owed.room, 60_000, 5_000, true, 0), 0)
  t.equal(askNext(1, owed.room, 500, 1_000, false, 0), 0)
})

void test('each peer has a turn of its own, whenever it was looked at; only where an answer is due it comes sooner', async (t) => {
  const turnOf = (lookedMs: number, asked: number, number: number): number => (lookedMs + lookAfterMs(asked, lookedMs, number)) % 5_120
  for (const lookedMs of [10_000, 10_500.25, 123_456]) {
    for (const asked of [-1, 0]) t.equal(turnOf(lookedMs, asked, 7), 7 * 16)
    t.equal(turnOf(lookedMs, 0, 8), 8 * 16)
    t.equal(lookAfterMs(1, lookedMs, 7), 1_000)
  }
  fc.assert(fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.nat(1e6), (lookedMs, number) => {
    const [first, next] = [lookAfterMs(-1, lookedMs, number), lookAfterMs(0, lookedMs, number)]
    return first >= 1_000 && first < 6_200 && next >= 500 && next < 5_700
  }))
})

const peer = fc.record({
  sends: fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 20 }).map((times) => times.toSorted((a, b) => a - b)),
  beganMs: fc.integer({ min: 0, max: 10_000 }),
  number: fc.nat(1_000),
  lateMs: fc.array(fc.integer({ min: 0, max: 250 }), { minLength: 10, maxLength: 10 }).map((each) => (look: number): number => each[look % each.length] ?? 0),
})

void test('who answers in time, or is only slow, is never gone, though of six questions in a row five get lost', async () => {
  const answersMs = fc.array(fc.option(fc.integer({ min: 0, max: 900 }), { nil: undefined }), { minLength: 50, maxLength: 50 })
    .map((answers) => (question: number): number | undefined => answers[question % answers.length] ?? (question % questionsMax === questionsMax - 1 ? 900 : undefined))
  fc.assert(fc.property(peer, answersMs, (each, answers) => watch({ ...each, answersMs: answers }, 300_000) === Infinity))
  fc.assert(fc.property(peer, fc.integer({ min: 0, max: 3_000 }), (each, slowMs) => watch({ ...each, answersMs: () => slowMs }, 300_000) === Infinity))
})

void test('who is heard of every five seconds is never gone, whatever it owes', async () => {
  const owes = fc.array(fc.constantFrom(...Object.values(owed)), { minLength: 20, maxLength: 20 }).map((each) => (look: number): Owed => each[look % each.length] ?? owed.nothing)
  const sends = Array.from({ length: 60 }, (_, index) => index * 5_000)
  fc.assert(fc.property(peer, owes, (each, its) => watch({ ...each, sends, owes: its, answersMs: () => undefined }, 300_000) === Infinity))
})

void test('who answers nothing is gone 8 to 15 s after it was heard of last, whenever that was', async () => {
  fc.assert(fc.property(peer, (each) => {
    for (const owes of [owed.nothing, owed.inVain]) {
      const gone = watch({ ...each, owes: () => owes, answersMs: () => undefined }, 300_000)
      const silentMs = gone - Math.max(0, ...each.sends.filter((at) => at <= gone))
      if (silentMs < (owes === owed.nothing ? 8_000 : 6_000) || silentMs > 15_000) return false
    }
    return true
  }), { numRuns: 2_000 })
})

void test('a client that answers nothing is gone 64 to 71 s after it was heard of last', async () => {
  fc.assert(fc.property(peer, (each) => [owed.nothing, owed.inVain].every((owes) => {
    const gone = watch({ ...each, owes: () => owes, goneAfterMs: clientSilenceMs, answersMs: () => undefined }, 300_000)
    const silentMs = gone - Math.max(0, ...each.sends.filter((at) => at <= gone))
    return silentMs >= 64_000 && silentMs <= 71_000
  })), { numRuns: 2_000 })
})

void test('a client whose path is away for 45 s, again and again, is never gone', async () => {
  fc.assert(fc.property(peer, fc.integer({ min: 0, max: 60_000 }), fc.integer({ min: 0, max: 900 }), (each, fromMs, answerMs) =>
    watch({ ...each, sends: [], goneAfterMs: clientSilenceMs, answersMs: (_, atMs) => (atMs + fromMs) % 60_000 < 45_000 ? undefined : answerMs }, 600_000) === Infinity), { numRuns: 1_000 })
})
