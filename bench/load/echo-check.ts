// What is sent to an echo server and compared with what it returns, in whatever pieces that comes, for all connections of
// a thread:
//
//   hello      as captured
//   request    number:32 little-endian │ 0x52 …      every byte is compared; a number is one connection's alone for long

import type { EventLoop } from './event-loop.ts'

const fill = 0x52
/** Far less than a socket takes at once. */
const payloadBytesMax = 4096

export interface EchoCheckOptions {
  /** Answers are read into its `incoming`, requests are made in its `outgoing`. */
  readonly loop: Pick<EventLoop, 'incoming' | 'outgoing'>
  readonly hello: Uint8Array
  /** Words of 4 bytes; 0 where hellos are all there is. */
  readonly payloadBytes: number
  readonly slots: number
}

export class EchoCheck {
  readonly payloadBytes: number
  readonly #received: Buffer
  readonly #receivedWords: Uint32Array
  readonly #hello: Buffer
  readonly #request: Buffer
  readonly #requestWords: Uint32Array
  /** Of the request under way; 0 for the hello. */
  readonly #numbers: Uint32Array
  readonly #greeted: Uint8Array
  /** Bytes of the answer that have come. */
  readonly #offsets: Uint32Array

  constructor({ loop: { incoming, outgoing }, hello, payloadBytes, slots }: EchoCheckOptions) {
    if (payloadBytes % 4 !== 0 || payloadBytes > payloadBytesMax) throw new RangeError(`a request of ${payloadBytes} bytes is not made of up to ${payloadBytesMax / 4} words`)
    this.payloadBytes = payloadBytes
    this.#received = Buffer.from(incoming.bytes.buffer)
    this.#receivedWords = new Uint32Array(incoming.bytes.buffer)
    this.#hello = Buffer.from(hello)
    this.#request = Buffer.from(outgoing.bytes.buffer, 0, payloadBytes).fill(fill)
    this.#requestWords = new Uint32Array(outgoing.bytes.buffer, 0, payloadBytes / 4)
    // 2^32 over the golden ratio: far apart from each other.
    this.#numbers = Uint32Array.from({ length: slots }, (_, slot) => Math.imul(slot, 0x9e3779b9))
    this.#greeted = new Uint8Array(slots)
    this.#offsets = new Uint32Array(slots)
  }

  expectHello(slot: number): void {
    this.#greeted[slot] = 0
    this.#offsets[slot] = 0
  }

  /** Makes the next request, at the beginning of `outgoing`; it is what is expected from now on. */
  nextRequest(slot: number): void {
    this.#numbers[slot] = (this.#numbers[slot] ?? 0) + 1
    this.#greeted[slot] = 1
    this.#offsets[slot] = 0
    this.#requestWords[0] = this.#numbers[slot] ?? 0
  }

  /**
   * @param byteLength so many have come, and are in the buffer
   * @returns whether that was all, some of it, or something else
   */
  take(slot: number, byteLength: number): 'complete' | 'partial' | 'wrong' {
    if (this.#greeted[slot] === 0) return this.#compare(slot, byteLength, this.#hello)
    this.#requestWords[0] = this.#numbers[slot] ?? 0
    if (byteLength !== this.payloadBytes || this.#offsets[slot] !== 0) return this.#compare(slot, byteLength, this.#request)
    // The ordinary case, in one piece; shorter than the way to Buffer.compare and back.
    for (let word = 0; word < this.#requestWords.length; word += 1) {
      if (this.#receivedWords[word] !== this.#requestWords[word]) return 'wrong'
    }
    return 'complete'
  }

  #compare(slot: number, byteLength: number, expected: Buffer): 'complete' | 'partial' | 'wrong' {
    const from = this.#offsets[slot] ?? 0
    const to = from + byteLength
    if (to > expected.length || this.#received.compare(expected, from, to, 0, byteLength) !== 0) return 'wrong'
    this.#offsets[slot] = to
    return to === expected.length ? 'complete' : 'partial'
  }
}
