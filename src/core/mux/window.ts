// How much a peer may send on one stream: the receiving side of yamux's flow control (spec.md "Flow Control").
//
//   limit ─ credit ─ unannounced = bytes that the destination has not taken yet
//
// Every stream begins with 256 KiB, which the specification fixes. Credit is returned in halves of the limit, once the
// destination has taken the bytes. The limit grows to what comes in four of the path's round trips and `queueMs`, at most
// twofold at a time, and to no more than the largest that is allowed, or than all windows of the process may have grown
// together. Four: of what comes in bursts, half of the window may be all that a round trip brings. What is over that would
// not come sooner: it would lie in the kernel's buffers of the one connection, where other streams' bytes can't overtake it.

/** For what isn't the path: on a short one, turns of both ends' event loops are most of the round trip. */
const queueMs = 3
/** How fast bytes come is counted over so long: what was taken at once after a pause had come before. */
const judgedMsMin = 50

/** spec.md: "the initial window size of each stream is 256KB". */
export const initialWindowBytes = 256 * 1024

export interface WindowBudgetOptions {
  /** Of all threads together. @default 256 MiB; below 2 GiB */
  readonly limitBytes?: number
  /** What each thread has taken, in memory that the threads share. @default of this one alone */
  readonly usedBytes?: Int32Array
  /** This thread's place in `usedBytes`. @default 0 */
  readonly thread?: number
}

/** How far the windows of a process may grow beyond what they begin with, all together. */
export class WindowBudget {
  readonly limitBytes: number
  readonly #used: Int32Array
  readonly #thread: number
  #refusals = 0

  constructor({ limitBytes = 256 * 1024 * 1024, usedBytes = new Int32Array(1), thread = 0 }: WindowBudgetOptions = {}) {
    this.limitBytes = limitBytes
    this.#used = usedBytes
    this.#thread = thread
  }

  /** By this thread. */
  get usedBytes(): number {
    return this.#used[this.#thread] ?? 0
  }

  /** How often a window of this thread could not grow for lack of budget. */
  get refusals(): number {
    return this.#refusals
  }

  /** @returns whether they were to be had */
  take(bytes: number): boolean {
    Atomics.add(this.#used, this.#thread, bytes)
    if (this.#used.reduce((sum, used) => sum + used, 0) <= this.limitBytes) return true
    Atomics.sub(this.#used, this.#thread, bytes)
    this.#refusals += 1
    return false
  }

  give(bytes: number): void {
    if (bytes > 0) Atomics.sub(this.#used, this.#thread, bytes)
  }
}

export class ReceiveWindow {
  readonly #budget: WindowBudget
  readonly #limitBytesMax: number
  #limitBytes = initialWindowBytes
  #creditBytes = initialWindowBytes
  /** Taken by the destination, and not yet given back to the peer. */
  #returnableBytes = 0
  /** Since then the destination has taken `#judgedBytes`. */
  #judgedFromMs: number
  #judgedBytes = 0

  constructor({ budget, limitBytesMax, nowMs }: { readonly budget: WindowBudget; readonly limitBytesMax: number; readonly nowMs: number }) {
    this.#budget = budget
    this.#limitBytesMax = limitBytesMax
    this.#judgedFromMs = nowMs
  }

  get limitBytes(): number {
    return this.#limitBytes
  }

  /** What the peer may still send. */
  get creditBytes(): number {
    return this.#creditBytes
  }

  /** @returns false where the peer has sent more than it may */
  received(bytes: number): boolean {
    if (bytes > this.#creditBytes) return false
    this.#creditBytes -= bytes
    return true
  }

  /**
   * The destination has taken bytes.
   * @param rttMs undefined while it is not known: then the window stays as large as it is
   * @returns credit to announce now; 0 while it is less than half of the limit
   */
  consumed(bytes: number, { nowMs, rttMs }: { readonly nowMs: number; readonly rttMs: number | undefined }): number {
    this.#returnableBytes += bytes
    if (this.#returnableBytes < this.#limitBytes / 2) return 0
    let delta = this.#returnableBytes
    this.#returnableBytes = 0
    this.#judgedBytes += delta
    const judgedMs = nowMs - this.#judgedFromMs
    if (judgedMs >= judgedMsMin) {
      if (rttMs !== undefined) delta += this.#grow(Math.floor(this.#judgedBytes / judgedMs * (4 * rttMs + queueMs)))
      this.#judgedFromMs = nowMs
      this.#judgedBytes = 0
    }
    this.#creditBytes += delta
    return delta
  }

  /** @returns by how much it has grown */
  #grow(wantedBytes: number): number {
    const growth = Math.min(wantedBytes, 2 * this.#limitBytes, this.#limitBytesMax) - this.#limitBytes
    if (growth <= 0 || !this.#budget.take(growth)) return 0
    this.#limitBytes += growth
    return growth
  }

  /** Its growth goes back to the budget. */
  close(): void {
    this.#budget.give(this.#limitBytes - initialWindowBytes)
    this.#limitBytes = initialWindowBytes
  }
}
