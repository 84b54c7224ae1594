// A queue in a ring that doubles when it is full: push and shift in constant time, and no allocation in steady state.

export class Fifo<Item> {
  #items: (Item | undefined)[] = Array.from({ length: 4 })
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(item: Item): void {
    if (this.#length === this.#items.length) this.#grow()
    this.#items[(this.#head + this.#length) & (this.#items.length - 1)] = item
    this.#length += 1
  }

  first(): Item | undefined {
    return this.#length === 0 ? undefined : this.#items[this.#head]
  }

  shift(): Item | undefined {
    if (this.#length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#items.length - 1)
    this.#length -= 1
    return item
  }

  clear(): void {
    while (this.#length > 0) this.shift()
  }

  #grow(): void {
    const items = this.#items
    this.#items = Array.from({ length: 2 * items.length }, (_, index) => index < items.length ? items[(this.#head + index) & (items.length - 1)] : undefined)
    this.#head = 0
  }
}
