// Log lines of a thread on their way to the main thread, many at a time: handing one over costs both sides more than
// writing it.

import type { LineStream } from './log.ts'

export interface LineBatchOptions {
  /** Handed over at once when it has so many. */
  readonly charactersMax: number
  /** From the first `flushIfDue` that finds a line to the one that hands it over. */
  readonly ageMsMax: number
  readonly flushed: (text: string, lines: number) => void
}

export class LineBatch implements LineStream {
  readonly #options: LineBatchOptions
  #text = ''
  #lines = 0
  #dueMs = Infinity

  constructor(options: LineBatchOptions) {
    this.#options = options
  }

  /** Whole lines, with their ends. */
  write(text: string, lines = 1): void {
    this.#text += text
    this.#lines += lines
    if (this.#text.length >= this.#options.charactersMax) this.flush()
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
    const text = this.#text
    const lines = this.#lines
    this.#text = ''
    this.#lines = 0
    this.#dueMs = Infinity
    this.#options.flushed(text, lines)
  }
}
