/** A binary heap of the whole numbers below `capacity`, each in it once at most, by keys; of equal keys the lower number comes first. */
export class IndexHeap {
  readonly #items: Int32Array
  /** By item. */
  readonly #keys: Float64Array
  #size = 0

  constructor(capacity: number) {
    this.#items = new Int32Array(capacity)
    this.#keys = new Float64Array(capacity)
  }

  /** Infinity where it is empty. */
  get topKey(): number {
    return this.#size === 0 ? Infinity : this.keyOf(this.#items[0] ?? 0)
  }

  clear(): void {
    this.#size = 0
  }

  push(item: number, key: number): void {
    this.#keys[item] = key
    let at = this.#size
    this.#size += 1
    while (at > 0) {
      const parentAt = (at - 1) >> 1
      const parent = this.#items[parentAt] ?? 0
      if (!this.#isBefore(item, parent)) break
      this.#items[at] = parent
      at = parentAt
    }
    this.#items[at] = item
  }

  /** The key that it was pushed with last. */
  keyOf(item: number): number {
    return this.#keys[item] ?? Infinity
  }

  /** -1 where it is empty. */
  pop(): number {
    if (this.#size === 0) return -1
    this.#size -= 1
    const top = this.#items[0] ?? 0
    const last = this.#items[this.#size] ?? 0
    let at = 0
    for (;;) {
      let childAt = 2 * at + 1
      if (childAt >= this.#size) break
      if (childAt + 1 < this.#size && this.#isBefore(this.#items[childAt + 1] ?? 0, this.#items[childAt] ?? 0)) childAt += 1
      const child = this.#items[childAt] ?? 0
      if (!this.#isBefore(child, last)) break
      this.#items[at] = child
      at = childAt
    }
    this.#items[at] = last
    return top
  }

  #isBefore(left: number, right: number): boolean {
    const leftKey = this.keyOf(left)
    const rightKey = this.keyOf(right)
    return leftKey < rightKey || (leftKey === rightKey && left < right)
  }
}
