// The bytes of a connection that were read before it could be relayed: the hello and what came behind it.
//
// One chunk is kept as it came. From the second on, bytes are gathered into one growing block, so that a client that sends
// a byte a segment costs its bytes and not an object for each of them.

const firstBlockBytes = 2048
const nothing = new Uint8Array(0)

export class HeadBuffer {
  #block: Uint8Array = nothing
  #byteLength = 0
  #ownsBlock = false

  get byteLength(): number {
    return this.#byteLength
  }

  /** `bytes` must not change afterwards. */
  append(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return
    if (this.#byteLength === 0) {
      this.#block = bytes
      this.#byteLength = bytes.byteLength
      return
    }
    const neededBytes = this.#byteLength + bytes.byteLength
    if (!this.#ownsBlock || neededBytes > this.#block.byteLength) {
      const grown = new Uint8Array(Math.max(firstBlockBytes, 2 * neededBytes))
      grown.set(this.bytes())
      this.#block = grown
      this.#ownsBlock = true
    }
    this.#block.set(bytes, this.#byteLength)
    this.#byteLength = neededBytes
  }

  /** A view of everything appended; valid until the next `append`. */
  bytes(): Uint8Array {
    return this.#byteLength === this.#block.byteLength ? this.#block : this.#block.subarray(0, this.#byteLength)
  }

  clear(): void {
    this.#block = nothing
    this.#byteLength = 0
    this.#ownsBlock = false
  }
}
