// Bytes that were read from one side and that the other has not taken yet: in a block of memory, or in the pipe that the
// direction goes through. While any wait, the direction is not read: TCP's window then stops the sender.
//
//   keep, write ─▶ block or pipe ── the other side takes bytes again ──▶ writePending ─▶ nothing waits

import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import { BlockPool, blockBytes } from './block-pool.ts'
import { tokenBit, type ConnectionTable } from './connection-table.ts'
import { allocate, EAGAIN, EINTR, errno, isUnresponsive, MSG_NOSIGNAL, send, splice, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from './libc.ts'
import type { PipePool } from './pipe-pool.ts'
import type { TurnQueue } from './turn-queue.ts'

/** When the events in hand were got: the system is asked once for all of them. */
export interface Clock {
  nowMs: number
}

export interface EpochClock extends Clock {
  /** The same moment, Unix epoch. */
  epochMs: number
}

export interface PendingBytesParts {
  readonly table: ConnectionTable
  readonly cells: RelayCells
  readonly clock: Clock
  readonly pipes: PipePool
  readonly queue: TurnQueue
}

export class PendingBytes {
  readonly #table: ConnectionTable
  readonly #cells: RelayCells
  readonly #clock: Clock
  readonly #pipes: PipePool
  readonly #queue: TurnQueue
  readonly #blocks = new BlockPool()
  readonly #buffer = allocate(blockBytes)

  constructor({ table, cells, clock, pipes, queue }: PendingBytesParts) {
    this.#table = table
    this.#cells = cells
    this.#clock = clock
    this.#pipes = pipes
    this.#queue = queue
  }

  /** Whether bytes that were read from `token` still wait to be written to the other side. */
  waiting(token: number): boolean {
    const pending = this.#table.pending[token] ?? 0
    if (pending === 0) return false
    return !this.#table.has(token, tokenBit.spliced) || (this.#pipes.bytes[pending - 1] ?? 0) > 0
  }

  /** @returns whether nothing that was read from `token` waits any more; for a direction that is not read any more */
  writePending(token: number): boolean {
    const table = this.#table
    const pending = table.pending[token] ?? 0
    if (pending === 0) return true
    if (table.has(token, tokenBit.spliced)) return this.writeFromPipe(token, pending - 1)
    const block = pending - 1
    const peer = token ^ 1
    for (;;) {
      const byteLength = this.#blocks.byteLengthOf(block)
      const sent = table.has(peer, tokenBit.broken) ? byteLength : send(table.fdOf(peer), this.#blocks.addressOf(block), byteLength, MSG_NOSIGNAL)
      if (sent === byteLength) break
      if (sent === -1) {
        if (!this.#sendFailed(peer, errno())) return false
        continue
      }
      this.#blocks.start[block] = (this.#blocks.start[block] ?? 0) + sent
    }
    this.#blocks.release(block)
    table.pending[token] = 0
    table.activityMs[token >> 1] = this.#clock.nowMs
    return true
  }

  /**
   * Bytes that did not come through the relay's loop, for the other side of `token`; behind what waits already.
   * @param bytes with what waits, at most `blockBytes`
   * @param address where they are; 0: not in native memory
   */
  write(token: number, bytes: Uint8Array, address = 0): void {
    const peer = token ^ 1
    if (this.#table.has(peer, tokenBit.broken)) return
    let sent = 0
    if ((this.#table.pending[token] ?? 0) === 0) {
      if (address === 0) this.#buffer.bytes.set(bytes)
      sent = send(this.#table.fdOf(peer), address === 0 ? this.#buffer.address : address, bytes.byteLength, MSG_NOSIGNAL)
      if (sent === bytes.byteLength || (sent === -1 && this.#sendFailed(peer, errno()))) return
    }
    this.#append(token, bytes.subarray(Math.max(0, sent)))
  }

  /** What was read from it and not written is thrown away; its pipe goes back. */
  discard(token: number): void {
    const pending = this.#table.pending[token] ?? 0
    this.#table.fullReads[token] = 0
    if (pending === 0) return
    if (this.#table.has(token, tokenBit.spliced)) this.#pipes.release(pending - 1)
    else this.#blocks.release(pending - 1)
    this.#table.pending[token] = 0
    this.#table.clear(token, tokenBit.spliced)
  }

  /**
   * @param sent of `bytes`, or an errno below 0
   * @returns whether reading may go on: the other side is broken rather than full
   */
  keepRest(token: number, sent: number, bytes: Uint8Array): boolean {
    if (sent < 0 && this.#sendFailed(token ^ 1, -sent)) return true
    this.#append(token, bytes.subarray(Math.max(0, sent)))
    return false
  }

  /** @returns whether the pipe is empty, or nobody takes what is in it */
  writeFromPipe(token: number, pipe: number): boolean {
    const peer = token ^ 1
    const to = this.#table.fdOf(peer)
    const from = this.#pipes.readFd[pipe] ?? -1
    for (;;) {
      const bytes = this.#pipes.bytes[pipe] ?? 0
      if (bytes === 0) return true
      if (this.#table.has(peer, tokenBit.broken)) return true
      const sent = splice(from, 0, to, 0, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
      if (sent > 0) {
        this.#pipes.bytes[pipe] = bytes - sent
        this.#table.activityMs[token >> 1] = this.#clock.nowMs
      } else if (!this.#sendFailed(peer, errno())) {
        return false
      }
    }
  }

  countPause(): void {
    this.#cells[relayCell.backpressurePauses] = (this.#cells[relayCell.backpressurePauses] ?? 0) + 1
  }

  #append(token: number, bytes: Uint8Array): void {
    const pending = this.#table.pending[token] ?? 0
    if (pending === 0) this.#table.pending[token] = this.#blocks.take(bytes) + 1
    else if (!this.#blocks.append(pending - 1, bytes)) throw new Error('bug: more waits for a side than a block holds')
    this.countPause()
  }

  /**
   * After a send that failed.
   * @returns whether the peer is gone: it is read to its end, which tells, and what comes for it is thrown away. Otherwise it is full
   */
  #sendFailed(peer: number, error: number): boolean {
    if (error === EAGAIN || error === EINTR) return false
    const table = this.#table
    table.set(peer, tokenBit.broken | tokenBit.readable | tokenBit.ending)
    // The error is told once, and this call has taken it: what recv finds at the end is an ordinary end.
    if (isUnresponsive(error)) table.set(peer, tokenBit.unresponsive)
    this.#queue.add(peer)
    return true
  }
}
