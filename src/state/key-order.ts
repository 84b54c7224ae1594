// Work on keys, in the order in which it was asked for as far as it is about one key.

export class KeyOrder {
  /** By key: the end of the last that was asked for. */
  readonly #last = new Map<string, Promise<void>>()

  /** Of the keys that are worked on; what is asked for beyond is the caller's to bound. */
  async run(key: string, work: () => Promise<void>): Promise<void> {
    const before = this.#last.get(key) ?? Promise.resolve()
    const own = before.then(work)
    const settled = own.catch(() => undefined)
    this.#last.set(key, settled)
    try {
      await own
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key)
    }
  }
}
