// When to ping, what the answers tell of the path, and when silence means that the peer is gone.

/** While bulk flows the round trip is measured so often at most. */
const sampleIntervalMs = 1_000
/** Of a session's first pings, the least answer tells of the path: one alone, on a busy machine, tells how busy it is. */
const firstPings = 10
const firstPingIntervalMs = 200
/** What the path is thought to take is the least of this time or the one before: long, since bulk itself makes the path longer. */
const pathPeriodMs = 300_000
/** Intervals differ by so much, so that sessions that began together don't ping together. */
const jitter = 0.2

export interface HeartbeatOptions {
  readonly pingIntervalMs: number
  readonly silenceMs: number
  readonly nowMs: number
  /** 0 to 1. */
  readonly random: () => number
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  #heardMs: number
  #nextPingMs: number
  #firstLeft = firstPings
  #value = 0
  #sentMs: number | undefined
  #rttMs: number | undefined
  #unansweredSinceMs: number | undefined
  #pathFromMs: number
  #pathMs = Infinity
  #pathBeforeMs = Infinity

  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.#heardMs = options.nowMs
    this.#pathFromMs = options.nowMs
    // The first one at once: windows grow by the round trip.
    this.#nextPingMs = options.nowMs
  }

  /** Falls at once and rises slowly, as queues on the path come and go. Undefined before the first answer. */
  get rttMs(): number | undefined {
    return this.#rttMs
  }

  /**
   * Of the path itself, without the queues that our own bulk makes on it. A window that grew by those would make them longer, and
   * grow again. Undefined before the first answer.
   */
  get pathRttMs(): number | undefined {
    const leastMs = Math.min(this.#pathMs, this.#pathBeforeMs)
    return leastMs === Infinity ? undefined : leastMs
  }

  /** When the first ping was sent since the last answer; undefined: all were answered. */
  get unansweredSinceMs(): number | undefined {
    return this.#unansweredSinceMs
  }

  get deadlineMs(): number {
    return Math.min(this.#nextPingMs, this.#heardMs + this.#options.silenceMs)
  }

  heard(nowMs: number): void {
    this.#heardMs = nowMs
  }

  isSilent(nowMs: number): boolean {
    return nowMs - this.#heardMs >= this.#options.silenceMs
  }

  /** @returns the value of a ping to send now, if one is due */
  pingIfDue(nowMs: number): number | undefined {
    if (nowMs < this.#nextPingMs) return undefined
    if (this.#firstLeft > 0) {
      this.#firstLeft -= 1
      if (this.#unansweredSinceMs !== undefined) {
        // A long path: only the last one's answer counts.
        this.#nextPingMs = nowMs + firstPingIntervalMs
        return undefined
      }
    }
    return this.#ping(nowMs)
  }

  /** @returns the value of a ping to send, because the round trip matters now and is not known of late */
  sampleIfStale(nowMs: number): number | undefined {
    // One that is under way is waited for, however long: its answer is the one that tells.
    if (this.#unansweredSinceMs !== undefined) return undefined
    return this.#sentMs !== undefined && nowMs - this.#sentMs < sampleIntervalMs ? undefined : this.#ping(nowMs)
  }

  answered(value: number, nowMs: number): void {
    this.#unansweredSinceMs = undefined
    if (this.#sentMs === undefined || value !== this.#value) return
    const sampleMs = nowMs - this.#sentMs
    if (nowMs - this.#pathFromMs >= pathPeriodMs) {
      this.#pathBeforeMs = this.#pathMs
      this.#pathMs = Infinity
      this.#pathFromMs = nowMs
    }
    this.#pathMs = Math.min(this.#pathMs, sampleMs)
    const rttMs = this.#rttMs
    this.#rttMs = rttMs === undefined || sampleMs < rttMs ? sampleMs : rttMs + (sampleMs - rttMs) / 8
  }

  #ping(nowMs: number): number {
    const { pingIntervalMs, random } = this.#options
    this.#nextPingMs = nowMs + (this.#firstLeft > 0 ? firstPingIntervalMs : pingIntervalMs * (1 - jitter + 2 * jitter * random()))
    this.#sentMs = nowMs
    this.#unansweredSinceMs ??= nowMs
    this.#value = (this.#value + 1) >>> 0
    return this.#value
  }
}
