// Things in numbered slots: each keeps its own as long as it is there, and a slot that was left is the next one's.

export class Slots<Item> {
  readonly #items: (Item | undefined)[] = []
  readonly #free: number[] = []

  /** Slots that have ever been used are 0 to this, this one not included. */
  get used(): number {
    return this.#items.length
  }

  /** @returns its slot */
  add(item: Item): number {
    const slot = this.#free.pop() ?? this.#items.length
    this.#items[slot] = item
    return slot
  }

  at(slot: number): Item | undefined {
    return this.#items[slot]
  }

  remove(slot: number): void {
    if (this.#items[slot] === undefined) return
    this.#items[slot] = undefined
    this.#free.push(slot)
  }
}
