// A stream of bytes that both ends can compute: the byte at an offset follows from the seed, so a byte that is lost,
// doubled or out of order is seen at once, with its place.

const periodBytes = 65_521

export class ByteStream {
  readonly #pattern: Buffer

  constructor(seed: number) {
    this.#pattern = Buffer.alloc(periodBytes)
    let state = seed >>> 0 || 1
    for (let index = 0; index < periodBytes; index++) {
      // xorshift32 (Marsaglia 2003)
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      this.#pattern[index] = state & 0xff
    }
  }

  bytes(offset: number, byteLength: number): Buffer {
    const bytes = Buffer.alloc(byteLength)
    for (let done = 0; done < byteLength;) {
      done += this.#pattern.copy(bytes, done, (offset + done) % periodBytes)
    }
    return bytes
  }

  /** Whether `chunk` is what stands at `offset`. */
  matches(offset: number, chunk: Buffer): boolean {
    return chunk.equals(this.bytes(offset, chunk.byteLength))
  }
}
