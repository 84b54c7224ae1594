// When a silent peer is asked whether it is still there, and when it counts as gone. A question is a keepalive probe (RFC 1122, 4.2.3.6); any
// segment of the peer's is an answer.
//
//   heard of ── silent for `quietMs` at a look ─▶ asked 1 ── no answer by the next look ─▶ asked 2 … asked `questionsMax` ── none ─▶ gone
//      ▲                                             │                                       │
//      └─────────────────────── an answer ───────────┴───────────────────────────────────────┘

/** At a look: sooner, nobody is asked. */
const quietMs = 2_000
/** In a row. One can get lost, on the way or on our own machine. */
export const questionsMax = 5
/** Where an answer is due. */
const soonMs = 1_000
/** Each peer is looked at once in such a period, in a turn of its own: however many came, spoke or were kept waiting at one moment, they are not asked at one. */
const turns = 384
const turnMs = 16
/** From a look to the next turn, at least. */
const betweenMs = 500
/** From a connection's begin to its first look, at least: most that end earlier never cost the system calls. */
const firstMs = 1_000

/**
 * Until the next look at a peer, in ms from the one at `lookedMs`. Where an answer is due that is sooner than its turn comes.
 * @param asked as `askNext` gave it; -1: there was no look yet, and `lookedMs` is when the connection began
 * @param number of the peer among all: neighbours have other turns
 */
export function lookAfterMs(asked: number, lookedMs: number, number: number): number {
  if (asked > 0) return soonMs
  const atLeastMs = asked === -1 ? firstMs : betweenMs
  const periodMs = turns * turnMs
  return atLeastMs + ((number % turns) * turnMs + periodMs - (lookedMs + atLeastMs) % periodMs) % periodMs
}

/**
 * At a look at a peer that owes nothing.
 * @param asked what it gave at the look before; 0 at the first
 * @param silentMs since anything came of the peer
 * @param sinceLookMs since the look before, when the last question was sent
 * @returns the number of the question that is to be sent now; 0: none is; -1: the peer is gone
 */
export function askNext(asked: number, silentMs: number, sinceLookMs: number): number {
  // A question is sent to a peer that has been silent for `quietMs`: what came in answer is that much younger.
  const isAnswered = silentMs < sinceLookMs + quietMs / 2
  if (asked > 0 && !isAnswered) return asked < questionsMax ? asked + 1 : -1
  return silentMs >= quietMs ? 1 : 0
}
