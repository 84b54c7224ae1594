// When a silent peer is asked whether it is still there, and when it counts as gone. A question is a keepalive probe (RFC 1122, 4.2.3.6), or
// what is sent again while the peer owes its acknowledgement; any segment of the peer's is an answer.
//
//   heard of ── silent for `quietMs` in its turn, or what it owes is sent again ─▶ asked 1 ── no answer a second later ─▶ asked 2 … `questionsMax` ─▶ gone
//      ▲                                                                              │                                       │
//      └────────────────────────────────── an answer ─────────────────────────────────┴───────────────────────────────────────┘
//
// So an API server is gone after 8 to 15 s: its clients are better off with another one. A client, or the path to it, may be away
// for longer and lose nothing: it is asked on, each time that its turn comes, until its own patience must be over too.

/** At a look: sooner, nobody is asked. */
const quietMs = 2_000
/** In a row. Some can get lost, on the way or on our own machine. */
export const questionsMax = 6
/** In place of a question's number: who may be silent for longer left all of them unanswered, and is asked in its turns. */
const askedInTurns = questionsMax + 1
/**
 * A client that is silent for less is not gone: its path may be away for 45 s, it may not have been heard of for 7 s before, and it
 * may take 10 s until it is sent something again. Kubernetes' own clients give a connection up 45 s after they heard of it last
 * (HTTP/2 ping after 30 s, 15 s for its answer: k8s.io/apimachinery pkg/util/net/http.go), so hardly anybody comes back later.
 */
export const clientSilenceMs = 64_000
/** A look that comes later than a turn can tells of us: who was not asked for so long is asked once more. */
const lateMs = 8_000
/** Where an answer is due. */
const soonMs = 1_000
/** Each peer is looked at once in such a period, in a turn of its own: however many came, spoke or were kept waiting at one moment, they are not asked at one. */
const turns = 320
const turnMs = 16
/** From a look to the next turn, at least. */
const betweenMs = 500
/** From a connection's begin to its first look, at least: most that end earlier never cost the system calls. */
const firstMs = 1_000

/** In place of what `askNext` gives: there was no look yet. */
export const notLooked = -1

/** What a peer owes. */
export const owed = {
  nothing: 0,
  /** To take what waits: its window is closed. */
  room: 1,
  acknowledgement: 2,
  /** As before, and it was sent again, or asked for room twice. */
  inVain: 3,
} as const
export type Owed = typeof owed[keyof typeof owed]

/**
 * Until the next look at a peer, in ms from the one at `lookedMs`. Where an answer is due that is sooner than its turn comes.
 * @param asked as `askNext` gave it; `notLooked`: `lookedMs` is when the connection began
 * @param number of the peer among all: neighbours have other turns
 */
export function lookAfterMs(asked: number, lookedMs: number, number: number): number {
  if (isDueSoon(asked)) return soonMs
  const atLeastMs = asked === notLooked ? firstMs : betweenMs
  const periodMs = turns * turnMs
  return atLeastMs + ((number % turns) * turnMs + periodMs - (lookedMs + atLeastMs) % periodMs) % periodMs
}

/** An answer is due before its turn comes. @param asked as `lookAfterMs`'s */
export function isDueSoon(asked: number): boolean {
  return asked > 0 && asked < askedInTurns
}

/**
 * At a look at a peer.
 * @param asked what it gave at the look before, or 0
 * @param owes one of `owed`
 * @param silentMs since anything came of the peer
 * @param sinceLookMs since the look before, when the last question was sent
 * @param inTurn the look is not one that comes sooner, of this peer or another that is looked at with it: then nobody is asked for the first time
 * @param goneAfterMs of silence; who has been silent for less is asked on
 * @returns the number of the question that is open now, `askedInTurns` after the last one, and is to be sent where the peer owes nothing; 0: none is; -1: the peer is gone
 */
export function askNext(asked: number, owes: Owed, silentMs: number, sinceLookMs: number, inTurn: boolean, goneAfterMs: number): number {
  // A question is sent to a peer that has been silent for `quietMs`: what came in answer is that much younger.
  const isAnswered = silentMs < sinceLookMs + quietMs / 2
  const open = isAnswered ? 0 : asked
  // It may have been written a moment ago.
  if (owes === owed.acknowledgement) return silentMs >= quietMs ? Math.max(open, 1) : open
  if (owes === owed.room) return open
  if (open >= questionsMax) return silentMs < goneAfterMs || sinceLookMs > lateMs ? askedInTurns : -1
  if (open > 0) return open + 1
  return owes === owed.inVain || (inTurn && silentMs >= quietMs) ? 1 : 0
}
