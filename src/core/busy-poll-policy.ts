// Whether a thread polls for events for a moment before it sleeps. A message that comes meanwhile costs no waking up, which is what
// a relay adds most of; but polling takes a core that others may need. So it is done only while it pays.
//
//   polls ── events come: goes on ─┬─ none, time after time ──▶ rests for some waits, each time more
//                                  └─ another program had the core meanwhile ──▶ rests for a while, each time longer

/** Polls in a row that brought nothing, after which it rests. */
const missesMax = 8
/** Waits that it rests, twice as many after each further miss, up to the most. */
const restWaitsMin = 8
const restWaitsMax = 1_024
/** Where somebody else runs on the core; twice as long each time. */
const sharedRestMsMin = 100
const sharedRestMsMax = 10_000
/** Since the last rest: what was before does not count any more. */
const soundMs = 10_000

export class BusyPollPolicy {
  #misses = 0
  #restWaits = 0
  #nextRestWaits = restWaitsMin
  #restsUntilMs = -Infinity
  #sharedRestMs = sharedRestMsMin

  /** Before each wait. */
  mayPoll(nowMs: number): boolean {
    if (nowMs < this.#restsUntilMs) return false
    if (this.#restWaits === 0) return true
    this.#restWaits -= 1
    return false
  }

  hit(): void {
    this.#misses = 0
    this.#nextRestWaits = restWaitsMin
  }

  missed(): void {
    this.#misses += 1
    if (this.#misses < missesMax) return
    // After a rest one miss is enough.
    this.#misses = missesMax - 1
    this.#restWaits = this.#nextRestWaits
    this.#nextRestWaits = Math.min(restWaitsMax, 2 * this.#nextRestWaits)
  }

  /** The core was somebody else's for a while. */
  shared(nowMs: number): void {
    this.#sharedRestMs = nowMs - this.#restsUntilMs > soundMs ? sharedRestMsMin : Math.min(sharedRestMsMax, 2 * this.#sharedRestMs)
    this.#restsUntilMs = nowMs + this.#sharedRestMs
  }
}
