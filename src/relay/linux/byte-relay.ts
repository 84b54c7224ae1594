// The hot loop: bytes from one descriptor to the other, by system calls on typed arrays' numbers. It allocates nothing.
//
//   readable ─▶ recv into the shared buffer ─▶ send to the other side ─▶ short read: the socket is empty, wait for its edge
//                                                  └─ takes less ─▶ the rest into a block, and no reading before it is gone
//
// Directions that become readable together are read together, and written together, with one system call each (BatchRing),
// where the system has io_uring; else one after the other.
//
// A direction that fills the buffer again and again goes through a pipe instead (splice). No direction moves more than
// `turnBytesMax` before the others have had their turn. What FIN and RST mean is not decided here: `RelayEvents` is told.

import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import type { BatchRing } from './batch-ring.ts'
import { BlockPool, blockBytes } from './block-pool.ts'
import { slotState, tokenBit, type ConnectionTable } from './connection-table.ts'
import { allocate, EAGAIN, EINTR, EINVAL, ENOSYS, errno, isUnresponsive, MSG_NOSIGNAL, recv, send, splice, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, type NativeMemory } from './libc.ts'
import type { PipePool } from './pipe-pool.ts'

/** What one read through the buffer may bring. */
const readBytesMax = 64 * 1024
/** A direction that has moved so much lets the others have their turn; a pipe may bring its capacity at once. */
const turnBytesMax = 256 * 1024
/** Directions for which reading and writing together pays. */
const batchMin = 4
export const batchMax = 256
/** What one read of a batch may bring; a direction that has more goes on by itself. */
const batchReadBytes = 16 * 1024
/** Reads in a row that fill the buffer, after which a direction goes through a pipe. */
const fullReadsToSplice = 4
/** Turns in a row that moved less than the buffer holds, after which it is copied again. */
const calmTurnsToCopy = 8

/** When the events in hand were got: the system is asked once for all of them. */
export interface Clock {
  nowMs: number
}

export interface RelayEvents {
  /** The end of `token`'s stream has been read, and everything before it has been written to the other side. */
  readToEnd(token: number): void
  /** The token's peer has sent RST, or the system has given it up; what it had sent before has been written. */
  lost(token: number, unresponsive: boolean): void
}

export interface ByteRelayParts {
  readonly table: ConnectionTable
  readonly cells: RelayCells
  readonly clock: Clock
  readonly pipes: PipePool
  /** Of `batchMax` operations; absent: one system call for each. */
  readonly ring: BatchRing | undefined
  readonly events: RelayEvents
}

export class ByteRelay {
  readonly #table: ConnectionTable
  readonly #cells: RelayCells
  readonly #clock: Clock
  readonly #events: RelayEvents
  readonly #buffer = allocate(blockBytes)
  readonly #blocks = new BlockPool()
  #splices = true
  readonly #ring: BatchRing | undefined
  readonly #batchMemory: NativeMemory | undefined
  /** Tokens that are to be pumped together. */
  readonly #batch: number[] = []
  readonly #reading = new Int32Array(batchMax)
  readonly #sent = new Int32Array(batchMax)
  readonly #pipes: PipePool
  /** Tokens that used up their turn. */
  #queue: number[] = []
  #queueBefore: number[] = []

  constructor({ table, cells, clock, pipes, ring, events }: ByteRelayParts) {
    this.#pipes = pipes
    this.#ring = ring
    this.#batchMemory = ring === undefined ? undefined : allocate(batchMax * batchReadBytes)
    this.#table = table
    this.#cells = cells
    this.#clock = clock
    this.#events = events
  }

  /** Some direction has more to do at once. */
  get busy(): boolean {
    return this.#queue.length > 0
  }

  /** The directions that used up their last turn have another. */
  runQueue(): void {
    const queue = this.#queue
    this.#queue = this.#queueBefore
    this.#queueBefore = queue
    for (const token of queue) {
      // The slot may have ended, and begun anew, since.
      if (!this.#table.has(token, tokenBit.queued)) continue
      this.#table.clear(token, tokenBit.queued)
      if (this.#table.state[token >> 1] === slotState.relaying) this.pump(token)
    }
    queue.length = 0
  }

  /** As `pump`, with others, when `pumpTogether` is called. */
  pumpLater(token: number): void {
    this.#batch.push(token)
  }

  pumpTogether(): void {
    const batch = this.#batch
    if (batch.length === 0) return
    const ring = this.#ring
    const memory = this.#batchMemory
    if (ring === undefined || memory === undefined || batch.length < batchMin) {
      for (const token of batch) if (this.#table.state[token >> 1] === slotState.relaying) this.pump(token)
    } else {
      for (let from = 0; from < batch.length; from += batchMax) this.#pumpBatch(ring, memory, from, Math.min(batch.length, from + batchMax))
    }
    batch.length = 0
  }

  /** Whether bytes that were read from `token` still wait to be written to the other side. */
  waiting(token: number): boolean {
    const pending = this.#table.pending[token] ?? 0
    if (pending === 0) return false
    return !this.#table.has(token, tokenBit.spliced) || (this.#pipes.bytes[pending - 1] ?? 0) > 0
  }

  /** Reads what is there, and writes it to the other side, as far as that takes it. */
  pump(token: number): void {
    if (this.#table.has(token, tokenBit.spliced)) this.#pumpThroughPipe(token)
    else if ((this.#table.pending[token] ?? 0) === 0) this.#pumpThroughBuffer(token)
  }

  /** The other side of `token` takes bytes again. */
  flush(token: number): void {
    const table = this.#table
    const pending = table.pending[token] ?? 0
    if (pending === 0) return
    if (table.has(token, tokenBit.spliced)) {
      if ((this.#pipes.bytes[pending - 1] ?? 0) === 0) return
      this.#pumpThroughPipe(token)
      return
    }
    if (!this.writePending(token)) return
    if (table.has(token, tokenBit.eof)) this.#tellEnd(token)
    else if (table.has(token, tokenBit.readable)) this.pump(token)
  }

  /** @returns whether nothing that was read from `token` waits any more; for a direction that is not read any more */
  writePending(token: number): boolean {
    const table = this.#table
    const pending = table.pending[token] ?? 0
    if (pending === 0) return true
    if (table.has(token, tokenBit.spliced)) return this.#writeFromPipe(token, pending - 1)
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
   * Bytes that `pump` has not read, for the other side of `token`; behind what waits already.
   * @param bytes with what waits, at most `blockBytes`
   */
  write(token: number, bytes: Uint8Array): void {
    const peer = token ^ 1
    if (this.#table.has(peer, tokenBit.broken)) return
    let sent = 0
    if ((this.#table.pending[token] ?? 0) === 0) {
      this.#buffer.bytes.set(bytes)
      sent = send(this.#table.fdOf(peer), this.#buffer.address, bytes.byteLength, MSG_NOSIGNAL)
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

  #pumpBatch(ring: BatchRing, { address, bytes }: NativeMemory, from: number, to: number): void {
    const table = this.#table
    const reading = this.#reading
    let count = 0
    for (let index = from; index < to; index++) {
      const token = this.#batch[index] ?? 0
      if (table.state[token >> 1] !== slotState.relaying || (table.pending[token] ?? 0) !== 0) continue
      ring.addRecv(table.fdOf(token), address + count * batchReadBytes, batchReadBytes)
      reading[count++] = token
    }
    ring.submit()
    const results = ring.results
    const sent = this.#sent
    for (let index = 0; index < count; index++) {
      sent[index] = results[index] ?? 0
    }
    // What was read, from now on; results are those of the sends.
    this.#writeBatch(ring, address, count)
    let sends = 0
    for (let index = 0; index < count; index++) {
      const token = reading[index] ?? 0
      const received = sent[index] ?? 0
      if (received <= 0) continue
      this.#countRead(token, received)
      if (table.has(token ^ 1, tokenBit.broken)) continue
      const taken = results[sends++] ?? 0
      if (taken === received) continue
      const at = index * batchReadBytes
      // Not read on: the rest of what it has waits for the other side.
      if (!this.#keepRest(token, taken, bytes.subarray(at, at + received))) reading[index] = -1
    }
    for (let index = 0; index < count; index++) {
      const token = reading[index] ?? 0
      // One that was handled before may have ended it.
      if (token !== -1 && table.state[token >> 1] === slotState.relaying) this.#readOn(token, sent[index] ?? 0)
    }
    for (let index = from; index < to; index++) {
      const token = this.#batch[index] ?? 0
      if (table.state[token >> 1] === slotState.relaying && table.has(token, tokenBit.spliced)) this.pump(token)
    }
  }

  #writeBatch(ring: BatchRing, address: number, count: number): void {
    const table = this.#table
    for (let index = 0; index < count; index++) {
      const received = this.#sent[index] ?? 0
      const peer = (this.#reading[index] ?? 0) ^ 1
      if (received > 0 && !table.has(peer, tokenBit.broken)) ring.addSend(table.fdOf(peer), address + index * batchReadBytes, received)
    }
    ring.submit()
  }

  /** After a read of a batch. */
  #readOn(token: number, received: number): void {
    if (received <= 0) {
      this.#readNothing(token, -received)
    } else if (received < batchReadBytes && !this.#table.has(token, tokenBit.ending)) {
      this.#table.fullReads[token] = 0
      this.#table.clear(token, tokenBit.readable)
    } else {
      this.pump(token)
    }
  }

  #countRead(token: number, bytes: number): void {
    const cell = (token & 1) === 0 ? relayCell.bytesFromDownstream : relayCell.bytesFromUpstream
    this.#table.readBytes[token] = (this.#table.readBytes[token] ?? 0) + bytes
    this.#cells[cell] = (this.#cells[cell] ?? 0) + bytes
    this.#table.activityMs[token >> 1] = this.#clock.nowMs
  }

  #pumpThroughBuffer(token: number): void {
    const table = this.#table
    const peer = token ^ 1
    const from = table.fdOf(token)
    const to = table.fdOf(peer)
    const address = this.#buffer.address
    let turnBytes = 0
    for (;;) {
      const received = recv(from, address, readBytesMax, 0)
      if (received <= 0) {
        this.#readNothing(token, received === 0 ? 0 : errno())
        return
      }
      this.#countRead(token, received)
      if (!table.has(peer, tokenBit.broken)) {
        const sent = send(to, address, received, MSG_NOSIGNAL)
        if (sent !== received && !this.#keepRest(token, sent === -1 ? -errno() : sent, this.#buffer.bytes.subarray(0, received))) return
      }
      if (received < readBytesMax) {
        table.fullReads[token] = 0
        // A short read has emptied the socket; but FIN or RST behind the bytes have no edge of their own any more.
        if (!table.has(token, tokenBit.ending)) {
          table.clear(token, tokenBit.readable)
          return
        }
        continue
      }
      turnBytes += received
      if (this.#isBulky(token) && this.#beginSplicing(token)) return
      if (turnBytes >= turnBytesMax) {
        this.#queueAgain(token)
        return
      }
    }
  }

  #isBulky(token: number): boolean {
    const fullReads = (this.#table.fullReads[token] ?? 0) + 1
    this.#table.fullReads[token] = Math.min(fullReads, fullReadsToSplice)
    return fullReads >= fullReadsToSplice
  }

  #beginSplicing(token: number): boolean {
    if (!this.#splices || this.#table.has(token ^ 1, tokenBit.broken)) return false
    const pipe = this.#pipes.take()
    if (pipe === -1) return false
    this.#table.pending[token] = pipe + 1
    this.#table.fullReads[token] = 0
    this.#table.set(token, tokenBit.spliced)
    this.#cells[relayCell.splices] = (this.#cells[relayCell.splices] ?? 0) + 1
    this.#pumpThroughPipe(token)
    return true
  }

  #pumpThroughPipe(token: number): void {
    const table = this.#table
    const pipe = (table.pending[token] ?? 0) - 1
    const from = table.fdOf(token)
    const into = this.#pipes.writeFd[pipe] ?? -1
    const capacity = this.#pipes.capacity[pipe] ?? 0
    let turnBytes = 0
    for (;;) {
      if ((this.#pipes.bytes[pipe] ?? 0) > 0 && !this.#writeFromPipe(token, pipe)) {
        if (turnBytes > 0) this.#countPause()
        return
      }
      if (table.has(token, tokenBit.eof)) {
        this.discard(token)
        this.#tellEnd(token)
        return
      }
      if (!table.has(token, tokenBit.readable)) return
      if (table.has(token ^ 1, tokenBit.broken)) {
        this.discard(token)
        this.#pumpThroughBuffer(token)
        return
      }
      if (turnBytes >= turnBytesMax) {
        table.fullReads[token] = 0
        this.#queueAgain(token)
        return
      }
      const received = splice(from, 0, into, 0, capacity, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
      if (received <= 0) {
        const error = received === 0 ? 0 : errno()
        if (error === EINVAL || error === ENOSYS) {
          // It is the system that does not splice here, not a peer that has gone.
          this.#splices = false
          this.discard(token)
          this.#pumpThroughBuffer(token)
          return
        }
        if (error !== EAGAIN || this.#isCalm(token, turnBytes)) this.discard(token)
        this.#readNothing(token, error)
        return
      }
      this.#pipes.bytes[pipe] = received
      this.#countRead(token, received)
      turnBytes += received
    }
  }

  #isCalm(token: number, turnBytes: number): boolean {
    const calmTurns = turnBytes < readBytesMax ? (this.#table.fullReads[token] ?? 0) + 1 : 0
    this.#table.fullReads[token] = calmTurns
    return calmTurns >= calmTurnsToCopy
  }

  /** @returns whether the pipe is empty, or nobody takes what is in it */
  #writeFromPipe(token: number, pipe: number): boolean {
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

  /**
   * @param sent of `bytes`, or an errno below 0
   * @returns whether reading may go on: the other side is broken rather than full
   */
  #keepRest(token: number, sent: number, bytes: Uint8Array): boolean {
    if (sent < 0 && this.#sendFailed(token ^ 1, -sent)) return true
    this.#append(token, bytes.subarray(Math.max(0, sent)))
    return false
  }

  #append(token: number, bytes: Uint8Array): void {
    const pending = this.#table.pending[token] ?? 0
    if (pending === 0) this.#table.pending[token] = this.#blocks.take(bytes) + 1
    else if (!this.#blocks.append(pending - 1, bytes)) throw new Error('bug: more waits for a side than a block holds')
    this.#countPause()
  }

  #countPause(): void {
    this.#cells[relayCell.backpressurePauses] = (this.#cells[relayCell.backpressurePauses] ?? 0) + 1
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
    this.#queueAgain(peer)
    return true
  }

  #queueAgain(token: number): void {
    if (this.#table.has(token, tokenBit.queued)) return
    this.#table.set(token, tokenBit.queued)
    this.#queue.push(token)
  }

  /** After a read that brought nothing. @param error 0: the end */
  #readNothing(token: number, error: number): void {
    const table = this.#table
    if (error === EAGAIN) {
      table.clear(token, tokenBit.readable)
      return
    }
    if (error === EINTR) {
      this.#queueAgain(token)
      return
    }
    if (error !== 0) {
      table.set(token, tokenBit.broken)
      if (isUnresponsive(error)) table.set(token, tokenBit.unresponsive)
    }
    table.clear(token, tokenBit.readable)
    table.set(token, tokenBit.eof)
    if (!this.waiting(token)) this.#tellEnd(token)
  }

  #tellEnd(token: number): void {
    if (this.#table.has(token, tokenBit.broken)) this.#events.lost(token, this.#table.has(token, tokenBit.unresponsive))
    else this.#events.readToEnd(token)
  }
}
