/** A binary heap of whole numbers from 0 on, each in it once, by keys; of equal keys the lower number comes first. */
export class IndexHeap {
  readonly #items: number[] = []
  /** By item. */
  readonly #keys: number[] = []

  /** Infinity where it is empty. */
  get topKey(): number {
    const top = this.#items[0]
    return top === undefined ? Infinity : this.#keys[top] ?? Infinity
  }

  clear(): void {
    this.#items.length = 0
  }

  push(item: number, key: number): void {
    this.#keys[item] = key
    let at = this.#items.length
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
    const top = this.#items[0]
    const last = this.#items.pop()
    if (top === undefined || last === undefined) return -1
    const length = this.#items.length
    if (length === 0) return top
    let at = 0
    for (;;) {
      let childAt = 2 * at + 1
      if (childAt >= length) break
      if (childAt + 1 < length && this.#isBefore(this.#items[childAt + 1] ?? 0, this.#items[childAt] ?? 0)) childAt += 1
      const child = this.#items[childAt] ?? 0
      if (!this.#isBefore(child, last)) break
      this.#items[at] = child
      at = childAt
    }
    this.#items[at] = last
    return top
  }

  #isBefore(left: number, right: number): boolean {
    const leftKey = this.#keys[left] ?? 0
    const rightKey = this.#keys[right] ?? 0
    return leftKey < rightKey || (leftKey === rightKey && left < right)
  }
}
