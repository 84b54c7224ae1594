// Log lines on their way to another thread, or to a descriptor, many at a time: handing one over costs more than writing it.
// They wait as bytes: a line is a tree of the pieces that it was put together of, and hundreds of these would live until they
// are handed over, and be copied by the collector.

import type { LineBytes, LineStream } from './log.ts'

export interface LineBatchOptions {
  /** Handed over at once when it has so many. */
  readonly bytesMax: number
  /** From the first `flushIfDue` that finds a line to the one that hands it over. */
  readonly ageMsMax: number
  /** The bytes have their whole buffer to themselves, so it can be transferred. */
  readonly flushed: (bytes: LineBytes, lines: number) => void
}

/** UTF-8, of one UTF-16 unit. */
const bytesPerUnitMax = 3
const encoder = new TextEncoder()

export class LineBatch implements LineStream {
  readonly #options: LineBatchOptions
  readonly #buffer: Buffer<ArrayBuffer>
  #byteLength = 0
  #lines = 0
  #dueMs = Infinity

  constructor(options: LineBatchOptions) {
    this.#options = options
    this.#buffer = Buffer.allocUnsafeSlow(bytesPerUnitMax * options.bytesMax)
  }

  write(text: string): void {
    if (!this.#reserve(bytesPerUnitMax * text.length)) {
      this.#options.flushed(encoder.encode(text), 1)
      return
    }
    this.#added(this.#buffer.write(text, this.#byteLength))
  }

  append(bytes: Uint8Array): void {
    if (!this.#reserve(bytes.byteLength)) {
      // Not `slice`, which of a Buffer is the same memory.
      this.#options.flushed(new Uint8Array(bytes), 1)
      return
    }
    this.#buffer.set(bytes, this.#byteLength)
    this.#added(bytes.byteLength)
  }

  /** They are a batch by themselves, after those that wait. */
  give(bytes: LineBytes, lines: number): void {
    this.flush()
    this.#options.flushed(bytes, lines)
  }

  /**
   * To be called whenever the thread has nothing else to do.
   * @param nowMs from a monotonic clock
   * @returns for how long it need not be called again, if nothing is written meanwhile; `Infinity` where nothing waits
   */
  flushIfDue(nowMs: number): number {
    if (this.#lines === 0) return Infinity
    if (this.#dueMs === Infinity) this.#dueMs = nowMs + this.#options.ageMsMax
    if (nowMs < this.#dueMs) return this.#dueMs - nowMs
    this.flush()
    return Infinity
  }

  flush(): void {
    if (this.#lines === 0) return
    // `allocUnsafeSlow`: it begins where its own buffer does.
    const bytes = new Uint8Array(this.#buffer.buffer.slice(0, this.#byteLength))
    const lines = this.#lines
    this.#byteLength = 0
    this.#lines = 0
    this.#dueMs = Infinity
    this.#options.flushed(bytes, lines)
  }

  /** @returns false: it will never fit */
  #reserve(bytesMax: number): boolean {
    if (this.#byteLength + bytesMax > this.#buffer.length) this.flush()
    return this.#byteLength + bytesMax <= this.#buffer.length
  }

  #added(byteLength: number): void {
    this.#byteLength += byteLength
    this.#lines += 1
    if (this.#byteLength >= this.#options.bytesMax) this.flush()
  }
}
