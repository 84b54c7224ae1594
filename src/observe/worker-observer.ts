// The observer of a worker thread. Its lines go to the main thread in batches; a thread that waits in the system for its
// sockets can still post them, but it hears no answer, so the main thread counts the batches that it has taken in a cell.
//
//   line ─▶ batch ─▶ (full, or old enough) ─▶ post ─▶ main thread: the log's queue, then `batchesTaken` + 1
//                └─ too many not yet taken: dropped, and counted
//
// A thread that dies takes the batch with it, and nothing else: what it counted stays.

import type { ConnectionRecord, RefusedAtAccept } from '../core/connection-record.ts'
import type { RelayObserver, SourceDropped } from '../core/relay-observer.ts'
import { add, connectionCell, type ConnectionCells } from './connection-cells.ts'
import { ConnectionObserver, type ThreadData } from './connection-observer.ts'
import { LineBatch } from './line-batch.ts'
import { createLogger, type LineBytes } from './log.ts'

export const workerLogLimits = {
  /** Some 600 lines: what a message costs the two threads hardly depends on its size. */
  batchBytesMax: 256 * 1024,
  batchAgeMsMax: 100,
  /** Posted and not yet taken: the log's queue holds no more. */
  batchesWaitingMax: 32,
}

/** Plain data, for `workerData`. */
export interface WorkerObserverData extends ThreadData {
  readonly level: string
}

/** What the worker posts; `Observation.takeLines` wants it. */
export interface LinesMessage {
  readonly kind: 'lines'
  readonly bytes: LineBytes
  readonly lines: number
}

type Post = (message: LinesMessage, transferred: ArrayBuffer[]) => void

export class WorkerObserver implements RelayObserver {
  readonly #cells: ConnectionCells
  readonly #post: Post
  readonly #batch: LineBatch
  readonly #observer: ConnectionObserver
  #batchesPosted: number

  constructor(data: WorkerObserverData, post: Post, { batchBytesMax = workerLogLimits.batchBytesMax } = {}) {
    this.#cells = data.cells
    this.#post = post
    // What a predecessor on these cells had posted is lost or taken by now.
    this.#batchesPosted = this.#batchesTaken
    this.#batch = new LineBatch({
      bytesMax: batchBytesMax,
      ageMsMax: workerLogLimits.batchAgeMsMax,
      flushed: (bytes, lines) => this.#flushed(bytes, lines),
    })
    this.#observer = new ConnectionObserver(data, createLogger({ level: data.level, stream: this.#batch }))
  }

  connectionEnded(record: ConnectionRecord): void {
    this.#observer.connectionEnded(record)
  }

  connectionRefused(refusal: RefusedAtAccept, record: () => ConnectionRecord): void {
    this.#observer.connectionRefused(refusal, record)
  }

  sourceDropped(dropped: SourceDropped): void {
    this.#observer.sourceDropped(dropped)
  }

  /** Told at once: the next batch may be long in coming. */
  driverError(error: Error, context: string): void {
    this.#observer.driverError(error, context)
    this.#batch.flush()
  }

  /**
   * To be called each time before the thread waits.
   * @param nowMs from a monotonic clock
   * @returns the longest that it may wait, in milliseconds; `Infinity` where no line waits
   */
  flushIfDue(nowMs: number): number {
    return this.#batch.flushIfDue(nowMs)
  }

  /** Before the thread ends. */
  flush(): void {
    this.#batch.flush()
  }

  get #batchesTaken(): number {
    return this.#cells[connectionCell.batchesTaken] ?? 0
  }

  #flushed(bytes: LineBytes, lines: number): void {
    if (this.#batchesPosted - this.#batchesTaken >= workerLogLimits.batchesWaitingMax) {
      add(this.#cells, connectionCell.linesDropped, lines)
      return
    }
    this.#batchesPosted += 1
    this.#post({ kind: 'lines', bytes, lines }, [bytes.buffer])
  }
}
