// Whole numbers that are gathered and used up, turn after turn. Emptying the list keeps its memory: an array that is emptied
// gives its own back, by a call of V8's runtime, and has to grow again.

const capacityAtFirst = 64

/** Of 32 bits. */
export class NumberList {
  #values = new Int32Array(capacityAtFirst)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** @param index below `length` */
  at(index: number): number {
    return this.#values[index] ?? 0
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const values = new Int32Array(2 * this.#length)
      values.set(this.#values)
      this.#values = values
    }
    this.#values[this.#length] = value
    this.#length += 1
  }

  /** @returns -1: it is not there */
  indexOf(value: number): number {
    for (let index = 0; index < this.#length; index++) if (this.#values[index] === value) return index
    return -1
  }

  /** The others keep their order. */
  remove(index: number): void {
    this.#values.copyWithin(index, index + 1, this.#length)
    this.#length -= 1
  }

  clear(): void {
    this.#length = 0
  }
}
