// Deadlines of many connections, one for each: a wheel of buckets, each a list threaded through typed arrays.
//
//   now ─▶ [tick] ─▶ [tick + 1] ─▶ … ─▶ [tick + 4095] ─▶ round again
//             └▶ slot 7 ⇄ slot 12 ⇄ slot 3
//
// Setting, moving and clearing cost the same however many there are, and allocate nothing. A deadline that lies further
// away than one round waits in the last bucket and is looked at again there. A deadline comes at most one tick late, never
// early. (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", scheme 6, with one round instead of a count.)

/** Buckets; a power of two. With `tickMs` that is 262 s for a round. */
const buckets = 4096
const wordBits = 32
const dueTickMax = 2 ** 32 - 1
/** What a deadline is rounded up to. */
export const tickMs = 64

export class TimerWheel {
  /** Slots in a bucket's list, and each bucket's first one: one more than the index, so that memory of zeros is an empty wheel. */
  readonly #first = new Int32Array(buckets)
  readonly #next: Int32Array
  readonly #previous: Int32Array
  /** A slot's bucket plus one; 0 without a deadline. */
  readonly #bucket: Int16Array
  /** The first tick by which it has come, counted from when the wheel was made: 8 years at most. */
  readonly #dueTick: Uint32Array
  /** One bit for each bucket that is not empty. */
  readonly #occupied = new Int32Array(buckets / wordBits)
  readonly #firstTick: number
  /** Everything up to this tick has come. */
  #tick: number
  #size = 0

  /** @param capacity slots are 0 to `capacity` - 1 */
  constructor({ capacity, nowMs }: { readonly capacity: number; readonly nowMs: number }) {
    this.#next = new Int32Array(capacity)
    this.#previous = new Int32Array(capacity)
    this.#bucket = new Int16Array(capacity)
    this.#dueTick = new Uint32Array(capacity)
    this.#tick = Math.floor(nowMs / tickMs)
    this.#firstTick = this.#tick
  }

  /** Slots that have a deadline. */
  get size(): number {
    return this.#size
  }

  /** The slot has a deadline. */
  has(slot: number): boolean {
    return this.#bucket[slot] !== 0
  }

  /** Replaces the slot's deadline. */
  set(slot: number, atMs: number): void {
    this.#setTick(slot, Math.ceil(atMs / tickMs))
  }

  clear(slot: number): void {
    const bucket = (this.#bucket[slot] ?? 0) - 1
    if (bucket === -1) return
    const next = this.#next[slot] ?? 0
    const previous = this.#previous[slot] ?? 0
    if (next !== 0) this.#previous[next - 1] = previous
    if (previous !== 0) {
      this.#next[previous - 1] = next
    } else {
      this.#first[bucket] = next
      if (next === 0) this.#occupied[bucket >>> 5] = (this.#occupied[bucket >>> 5] ?? 0) & ~(1 << (bucket & 31))
    }
    this.#bucket[slot] = 0
    this.#size -= 1
  }

  /**
   * Takes the deadlines that have come, one a call: the slot, which has none any more, or -1 when there is no more.
   * Call until -1; deadlines may be set meanwhile.
   */
  takeDue(nowMs: number): number {
    const nowTick = Math.floor(nowMs / tickMs)
    while (this.#tick < nowTick) {
      const due = this.#takeFrom((this.#tick + 1) & (buckets - 1), nowTick)
      if (due !== -1) return due
      // The bucket is empty now: on to the next one that is not, over at most a round.
      const distance = this.#distanceToOccupied(this.#tick + 2)
      this.#tick = Math.min(nowTick, this.#tick + 1 + distance)
    }
    return -1
  }

  /** Until `takeDue` should be called again; Infinity without deadlines. */
  waitMs(nowMs: number): number {
    if (this.#size === 0) return Infinity
    const tick = this.#tick + 1 + this.#distanceToOccupied(this.#tick + 1)
    return Math.max(0, tick * tickMs - nowMs)
  }

  /** From a bucket whose time has come: those of a later round go back in. */
  #takeFrom(bucket: number, nowTick: number): number {
    for (let first = this.#first[bucket] ?? 0; first !== 0; first = this.#first[bucket] ?? 0) {
      const slot = first - 1
      this.clear(slot)
      const dueTick = this.#firstTick + (this.#dueTick[slot] ?? 0)
      if (dueTick <= nowTick) return slot
      this.#setTick(slot, dueTick)
      // Only one that lies a whole round ahead could come back to this bucket; it is put into the one before.
      if (this.#bucket[slot] === bucket + 1) throw new Error('bug: a later deadline stays in a bucket that has come')
    }
    return -1
  }

  #setTick(slot: number, dueTick: number): void {
    this.#dueTick[slot] = Math.max(0, Math.min(dueTick - this.#firstTick, dueTickMax))
    const tick = Math.min(Math.max(dueTick, this.#tick + 1), this.#tick + buckets - 1)
    const bucket = tick & (buckets - 1)
    if (this.#bucket[slot] === bucket + 1) return
    this.clear(slot)
    this.#link(slot, bucket)
  }

  #link(slot: number, bucket: number): void {
    const next = this.#first[bucket] ?? 0
    this.#next[slot] = next
    this.#previous[slot] = 0
    if (next !== 0) this.#previous[next - 1] = slot + 1
    this.#first[bucket] = slot + 1
    this.#occupied[bucket >>> 5] = (this.#occupied[bucket >>> 5] ?? 0) | (1 << (bucket & 31))
    this.#bucket[slot] = bucket + 1
    this.#size += 1
  }

  /** Buckets from `tick`'s to the next that is not empty; `buckets` where all are. */
  #distanceToOccupied(tick: number): number {
    const start = tick & (buckets - 1)
    let word = start >>> 5
    let bits = (this.#occupied[word] ?? 0) & (-1 << (start & 31))
    for (let words = 0; words <= buckets / wordBits; words++) {
      if (bits !== 0) {
        const bucket = word * wordBits + (31 - Math.clz32(bits & -bits))
        return (bucket - start + buckets) & (buckets - 1)
      }
      word = (word + 1) & (buckets / wordBits - 1)
      bits = this.#occupied[word] ?? 0
    }
    return buckets
  }
}
