// Log lines on their way to a descriptor, one write at a time, so that whoever reads it can't stop the process.
//
//   line ─▶ waiting (bounded; what does not fit is counted) ─▶ batch ─▶ write ─▶ told of what was dropped, once it is empty
//                                                                └─ fails: the batch stays, tried again a little later
//
// pino's own asynchronous destination waits for ever at exit, and at each `fatal`, while a disk is full.

import { write, writeSync } from 'node:fs'
import { codeOf } from '../core/error-code.ts'

/** Given to the system at once. */
const batchBytesMax = 64 * 1024
const retryMs = 250
/** For the lines that are left at exit, while the descriptor takes none. */
const exitMsMax = 1_000
const exitRetryMs = 10

export interface LogQueueOptions {
  readonly fd: number
  /** Lines that the descriptor has not taken. */
  readonly bytesMax: number
  /** All is written again after `lines` did not fit. */
  readonly dropped: (lines: number) => void
  /** Once each time that writing begins to fail. */
  readonly failed: (error: Error) => void
}

export class LogQueue {
  readonly #options: LogQueueOptions
  #waiting: string[] = []
  #waitingBytes = 0
  #batch: Buffer = Buffer.alloc(0)
  #state: 'idle' | 'writing' | 'retrying' | 'closed' = 'idle'
  #failing = false
  #droppedLines = 0

  constructor(options: LogQueueOptions) {
    this.#options = options
  }

  /** Whole lines, with their ends; kept or dropped together. */
  write(text: string, lines = 1): void {
    if (this.#state === 'closed') return
    const bytes = Buffer.byteLength(text)
    if (this.#waitingBytes + this.#batch.byteLength + bytes > this.#options.bytesMax) {
      this.#droppedLines += lines
      return
    }
    this.#waiting.push(text)
    this.#waitingBytes += bytes
    if (this.#state === 'idle') this.#next()
  }

  /** What is left, before the process ends. Gives up on what can't be written. */
  flushAtExit(): void {
    // What is being written belongs to the system already: it ends before the process does.
    let rest = Buffer.concat([...(this.#state === 'writing' ? [] : [this.#batch]), Buffer.from(this.#waiting.join(''))])
    this.#state = 'closed'
    const pause = new Int32Array(new SharedArrayBuffer(4))
    for (let waitedMs = 0; rest.byteLength > 0 && waitedMs < exitMsMax; waitedMs += exitRetryMs) {
      try {
        while (rest.byteLength > 0) rest = rest.subarray(writeSync(this.#options.fd, rest))
      } catch (error) {
        if (!isBusy(error)) return
        Atomics.wait(pause, 0, 0, exitRetryMs)
      }
    }
  }

  #next(): void {
    if (this.#batch.byteLength === 0) this.#batch = this.#takeBatch()
    if (this.#batch.byteLength > 0) {
      this.#state = 'writing'
      write(this.#options.fd, this.#batch, (error, writtenBytes) => this.#written(error, writtenBytes))
      return
    }
    this.#state = 'idle'
    const lines = this.#droppedLines
    this.#droppedLines = 0
    if (lines > 0) this.#options.dropped(lines)
  }

  #takeBatch(): Buffer {
    let count = 0
    let bytes = 0
    for (const text of this.#waiting) {
      bytes += Buffer.byteLength(text)
      if (count > 0 && bytes > batchBytesMax) break
      count += 1
    }
    const text = this.#waiting.splice(0, count).join('')
    // What a line holds is nearly always ASCII, and Latin-1 is copied, ten times as fast as UTF-8 is encoded.
    const batch = Buffer.from(text, Buffer.byteLength(text) === text.length ? 'latin1' : 'utf8')
    this.#waitingBytes -= batch.byteLength
    return batch
  }

  #written(error: NodeJS.ErrnoException | null, writtenBytes: number): void {
    if (this.#state === 'closed') return
    if (error === null) {
      this.#failing = false
      this.#batch = this.#batch.subarray(writtenBytes)
      this.#next()
      return
    }
    this.#state = 'retrying'
    if (!isBusy(error)) {
      if (!this.#failing) this.#options.failed(error)
      this.#failing = true
    }
    // Not a reason to stay alive: what is left at exit is tried once more there.
    setTimeout(() => {
      if (this.#state === 'retrying') this.#next()
    }, retryMs).unref()
  }
}

/** A pipe that somebody else has made non-blocking, and that is full. */
function isBusy(error: unknown): boolean {
  return codeOf(error) === 'EAGAIN'
}
