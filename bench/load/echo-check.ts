// Compares what an echo returns with what was sent, in whatever pieces it comes.

export class EchoCheck {
  #expected: Uint8Array
  #offset: number

  /** @param expected may be rewritten by its owner before each `restart` */
  constructor(expected: Uint8Array) {
    this.#expected = expected
    this.#offset = 0
  }

  restart(expected: Uint8Array): void {
    this.#expected = expected
    this.#offset = 0
  }

  /** @returns whether that was all, some of it, or something else */
  take(byteLength: number, bytes: Buffer): 'complete' | 'partial' | 'wrong' {
    const end = this.#offset + byteLength
    if (end > this.#expected.length || bytes.compare(this.#expected, this.#offset, end, 0, byteLength) !== 0) return 'wrong'
    this.#offset = end
    return end === this.#expected.length ? 'complete' : 'partial'
  }
}
