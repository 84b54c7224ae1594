// How much a peer may send on one stream: the receiving side of yamux's flow control (spec.md "Flow Control").
//
//   limit ─ credit ─ unannounced = bytes that the destination has not taken yet
//
// Every stream begins with 256 KiB, which the specification fixes. Credit is returned in halves of the limit, once the
// destination has taken the bytes. A half that was used up within two round trips says that the window, and not the path
// or the destination, may be what limits: the limit doubles, until it is some four times the bandwidth-delay product, or
// the largest that is allowed, or what all windows of the process may have grown together is used up.

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
  #announcedMs: number

  constructor({ budget, limitBytesMax, nowMs }: { readonly budget: WindowBudget; readonly limitBytesMax: number; readonly nowMs: number }) {
    this.#budget = budget
    this.#limitBytesMax = limitBytesMax
    this.#announcedMs = nowMs
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
    const growth = Math.min(this.#limitBytes, this.#limitBytesMax - this.#limitBytes)
    if (rttMs !== undefined && nowMs - this.#announcedMs < 2 * rttMs && growth > 0 && this.#budget.take(growth)) {
      this.#limitBytes += growth
      delta += growth
    }
    this.#announcedMs = nowMs
    this.#creditBytes += delta
    return delta
  }

  /** Its growth goes back to the budget. */
  close(): void {
    this.#budget.give(this.#limitBytes - initialWindowBytes)
    this.#limitBytes = initialWindowBytes
  }
}
