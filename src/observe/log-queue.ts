// Log lines on their way to a descriptor, one write at a time, so that whoever reads it can't stop the process.
//
//   bytes ─────────────┬▶ waiting (bounded; what does not fit is counted) ─▶ batch ─▶ write ─▶ told of what was dropped, once
//   line ─▶ gathered ──┘                                                       │               it is empty
//                                                                              └─ fails: the batch stays, tried again a little later
//
// pino's own asynchronous destination waits for ever at exit, and at each `fatal`, while a disk is full.

import { write, writeSync } from 'node:fs'
import { codeOf } from '../core/error-code.ts'
import { LineBatch } from './line-batch.ts'
import type { LineBytes, LineStream } from './log.ts'

/** Given to the system at once, of lines that came one at a time; bytes are given as they came. */
const batchBytesMax = 64 * 1024
const retryMs = 250
/** For the lines that are left at exit, while the descriptor takes none. */
const exitMsMax = 1_000
const exitRetryMs = 10
const none = new Uint8Array(0)

export interface LogQueueOptions {
  readonly fd: number
  /** Lines that the descriptor has not taken. */
  readonly bytesMax: number
  /** All is written again after `lines` did not fit. */
  readonly dropped: (lines: number) => void
  /** Once each time that writing begins to fail. */
  readonly failed: (error: Error) => void
}

export class LogQueue implements LineStream {
  readonly #options: LogQueueOptions
  readonly #waiting: LineBytes[] = []
  /** What has come behind these. */
  readonly #gathered = new LineBatch({ bytesMax: batchBytesMax, ageMsMax: Infinity, flushed: (bytes) => this.#waiting.push(bytes) })
  /** Of both. */
  #waitingBytes = 0
  #batch: LineBytes = none
  #state: 'idle' | 'writing' | 'retrying' | 'closed' = 'idle'
  #failing = false
  #droppedLines = 0

  constructor(options: LogQueueOptions) {
    this.#options = options
  }

  write(text: string): void {
    if (this.#takes(Buffer.byteLength(text), 1)) this.#gathered.write(text)
    this.#begin()
  }

  append(bytes: Uint8Array): void {
    if (this.#takes(bytes.byteLength, 1)) this.#gathered.append(bytes)
    this.#begin()
  }

  /** Kept or dropped together. */
  give(bytes: LineBytes, lines: number): void {
    if (this.#takes(bytes.byteLength, lines)) this.#gathered.give(bytes, lines)
    else giveBack(bytes)
    this.#begin()
  }

  /** What is left, before the process ends. Gives up on what can't be written. */
  flushAtExit(): void {
    this.#gathered.flush()
    // What is being written belongs to the system already: it ends before the process does.
    let rest = Buffer.concat([...(this.#state === 'writing' ? [] : [this.#batch]), ...this.#waiting])
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

  #takes(byteLength: number, lines: number): boolean {
    if (this.#state === 'closed') return false
    if (this.#waitingBytes + this.#batch.byteLength + byteLength > this.#options.bytesMax) {
      this.#droppedLines += lines
      return false
    }
    this.#waitingBytes += byteLength
    return true
  }

  #begin(): void {
    if (this.#state === 'idle') this.#next()
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

  #takeBatch(): LineBytes {
    if (this.#waiting.length === 0) this.#gathered.flush()
    const batch = this.#waiting.shift() ?? none
    this.#waitingBytes -= batch.byteLength
    return batch
  }

  #written(error: NodeJS.ErrnoException | null, writtenBytes: number): void {
    if (this.#state === 'closed') return
    if (error === null) {
      this.#failing = false
      if (writtenBytes < this.#batch.byteLength) this.#batch = this.#batch.subarray(writtenBytes)
      else {
        giveBack(this.#batch)
        this.#batch = none
      }
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

/** Their memory, now: the collector lets some 50 MiB gather first. */
function giveBack(bytes: LineBytes): void {
  bytes.buffer.transfer(0)
}

/** A pipe that somebody else has made non-blocking, and that is full. */
function isBusy(error: unknown): boolean {
  return codeOf(error) === 'EAGAIN'
}
