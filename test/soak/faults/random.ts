// Random numbers from a seed: the same run is made again by the same seed, as far as timing allows.

export class Random {
  #state: number

  /** The same seeds give the same numbers; each list of seeds has a sequence of its own. */
  constructor(...seeds: readonly number[]) {
    this.#state = 0x9e3779b9
    for (const seed of seeds) {
      this.#state = (this.#state ^ seed) >>> 0
      // Neighbouring seeds must not begin alike.
      for (let round = 0; round < 3; round++) this.#state = Math.floor(this.next() * 2 ** 32)
    }
  }

  /** From 0 to below 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** Both bounds included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }

  /** As many between 1 and 10 as between 10 and 100: sizes are like that. */
  size(min: number, max: number): number {
    return Math.round(min * (max / min) ** this.next())
  }

  pick<Value extends string | object>(values: readonly Value[]): Value {
    const value = values[this.integer(0, values.length - 1)]
    if (value === undefined) throw new Error('bug: nothing to pick from')
    return value
  }

  /** A key, as often as its weight says. */
  weighted<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const keys = Object.keys(weights) as Key[]
    let left = this.next() * keys.reduce((sum, key) => sum + weights[key], 0)
    for (const key of keys) {
      left -= weights[key]
      if (left < 0) return key
    }
    return this.pick(keys)
  }
}
