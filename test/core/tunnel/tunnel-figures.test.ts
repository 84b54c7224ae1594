import { test } from 'tap'
import { addUp, figuresOf, figuresOfSessions, pingOverdueMs, rttBoundsMs, totalsOf, type LiveSession } from '../../../src/core/tunnel/tunnel-figures.ts'

const session: LiveSession = { streamCount: 0, queuedBytes: 0, rttMs: undefined, pingUnansweredSinceMs: undefined }

const buckets: readonly (readonly [rttMs: number | undefined, bucket: number | undefined])[] = [
  [undefined, undefined], [0, 0], [0.5, 0], [0.51, 1], [10, 4], [10.1, 5], [2_500, rttBoundsMs.length - 1], [2_501, rttBoundsMs.length], [Infinity, rttBoundsMs.length],
]

void test('a session is counted where its round trip is, or nowhere while that is not known', (t) => {
  for (const [rttMs, bucket] of buckets) {
    const { rttCounts, sessions } = figuresOfSessions([{ ...session, rttMs }], 0)
    t.equal(sessions, 1)
    t.equal(rttCounts.length, rttBoundsMs.length + 1)
    t.same(rttCounts.flatMap((count, index) => count === 0 ? [] : [[index, count]]), bucket === undefined ? [] : [[bucket, 1]], `${rttMs} ms`)
  }
  t.end()
})

void test('sessions are added up, and the largest queue is known', (t) => {
  t.match(figuresOfSessions([], 0), { sessions: 0, streams: 0, sendQueueBytes: 0, sendQueueBytesMax: 0, pingsOverdue: 0, rttSumMs: 0 })
  t.match(figuresOfSessions([
    { streamCount: 3, queuedBytes: 100, rttMs: 1, pingUnansweredSinceMs: 10_000 - pingOverdueMs - 1 },
    { streamCount: 4, queuedBytes: 700, rttMs: 20, pingUnansweredSinceMs: 10_000 - pingOverdueMs },
    session,
  ], 10_000), { sessions: 3, streams: 7, sendQueueBytes: 800, sendQueueBytesMax: 700, pingsOverdue: 1, rttSumMs: 21 })
  t.end()
})

void test('threads’ figures become one: sums, the largest of largests, buckets one by one', (t) => {
  const one = figuresOf({ sessions: 2, sendQueueBytesMax: 7, bytesSent: 100, rttCounts: rttBoundsMs.map(() => 1).concat(5) })
  const other = figuresOf({ sessions: 3, sendQueueBytesMax: 4, bytesSent: 20, streamsRefused: 1, rttCounts: rttBoundsMs.map(() => 2).concat(0) })
  const sum = addUp([one, other])
  t.match(sum, { sessions: 5, sendQueueBytesMax: 7, bytesSent: 120, streamsRefused: 1, resetsSent: 0 })
  t.same(sum.rttCounts, rttBoundsMs.map(() => 3).concat(5))
  t.same(addUp([]), figuresOf({}))
  t.same(addUp([one]), one)
  t.end()
})

void test('of a thread that is gone its totals stay, and nothing of what it had', (t) => {
  const figures = figuresOf({ sessions: 2, streams: 9, handshakes: 1, sendQueueBytes: 5, sendQueueBytesMax: 5, rttSumMs: 3, rttCounts: rttBoundsMs.map(() => 1), framesSent: 10, strayBytes: 4, handshakesRefused: 2, sessionsEvicted: 1 })
  t.same(totalsOf(figures), figuresOf({ framesSent: 10, strayBytes: 4, handshakesRefused: 2, sessionsEvicted: 1 }))
  t.end()
})
