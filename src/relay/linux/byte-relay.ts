// The hot loop: bytes from one descriptor to the other, by system calls on typed arrays' numbers. It allocates nothing.
//
//   readable ─▶ recv into the shared buffer ─▶ send to the other side ─▶ short read: the socket is empty, wait for its edge
//                                                  └─ takes less ─▶ the rest waits (PendingBytes), and no reading before it is gone
//
// A direction that fills the buffer again and again goes through a pipe instead (splice). No direction moves more than
// `turnBytesMax` before the others have had their turn. What FIN and RST mean is not decided here: `RelayEvents` is told.

import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import { tokenBit, type ConnectionTable } from './connection-table.ts'
import { allocate, EAGAIN, EINTR, EINVAL, ENOSYS, errno, isUnresponsive, MSG_NOSIGNAL, recv, send, splice, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from './libc.ts'
import type { Clock, PendingBytes } from './pending-bytes.ts'
import type { PipePool } from './pipe-pool.ts'
import type { TurnQueue } from './turn-queue.ts'

/** What one read through the buffer may bring. */
const readBytesMax = 64 * 1024
/** A direction that has moved so much lets the others have their turn; a pipe may bring its capacity at once. */
const turnBytesMax = 256 * 1024
/** Reads in a row that fill the buffer, after which a direction goes through a pipe. */
const fullReadsToSplice = 4
/** Turns in a row that moved less than the buffer holds, after which it is copied again. */
const calmTurnsToCopy = 8

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
  readonly pending: PendingBytes
  readonly queue: TurnQueue
  readonly events: RelayEvents
}

export class ByteRelay {
  readonly #table: ConnectionTable
  readonly #cells: RelayCells
  readonly #clock: Clock
  readonly #pipes: PipePool
  readonly #pending: PendingBytes
  readonly #queue: TurnQueue
  readonly #events: RelayEvents
  readonly #buffer = allocate(readBytesMax)
  #splices = true

  constructor({ table, cells, clock, pipes, pending, queue, events }: ByteRelayParts) {
    this.#table = table
    this.#cells = cells
    this.#clock = clock
    this.#pipes = pipes
    this.#pending = pending
    this.#queue = queue
    this.#events = events
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
    if (!this.#pending.writePending(token)) return
    if (table.has(token, tokenBit.eof)) this.#tellEnd(token)
    else if (table.has(token, tokenBit.readable)) this.pump(token)
  }

  /** A short read has emptied the socket. */
  emptied(token: number): void {
    this.#table.fullReads[token] = 0
    this.#table.clear(token, tokenBit.readable)
  }

  /** For whoever has read from `token`. */
  countRead(token: number, bytes: number): void {
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
        this.readNothing(token, received === 0 ? 0 : errno())
        return
      }
      this.countRead(token, received)
      if (!table.has(peer, tokenBit.broken)) {
        const sent = send(to, address, received, MSG_NOSIGNAL)
        if (sent !== received && !this.#pending.keepRest(token, sent === -1 ? -errno() : sent, this.#buffer.bytes.subarray(0, received))) return
      }
      if (received < readBytesMax) {
        // FIN or RST behind the bytes have no edge of their own any more.
        if (table.has(token, tokenBit.ending)) continue
        this.emptied(token)
        return
      }
      turnBytes += received
      if (this.#isBulky(token) && this.#beginSplicing(token)) return
      if (turnBytes >= turnBytesMax) {
        this.#queue.add(token)
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
      if ((this.#pipes.bytes[pipe] ?? 0) > 0 && !this.#pending.writeFromPipe(token, pipe)) {
        if (turnBytes > 0) this.#pending.countPause()
        return
      }
      if (table.has(token, tokenBit.eof)) {
        this.#pending.discard(token)
        this.#tellEnd(token)
        return
      }
      if (!table.has(token, tokenBit.readable)) return
      if (table.has(token ^ 1, tokenBit.broken)) {
        this.#pending.discard(token)
        this.#pumpThroughBuffer(token)
        return
      }
      if (turnBytes >= turnBytesMax) {
        table.fullReads[token] = 0
        this.#queue.add(token)
        return
      }
      const received = splice(from, 0, into, 0, capacity, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
      if (received <= 0) {
        const error = received === 0 ? 0 : errno()
        if (error === EINVAL || error === ENOSYS) {
          // It is the system that does not splice here, not a peer that has gone.
          this.#splices = false
          this.#pending.discard(token)
          this.#pumpThroughBuffer(token)
          return
        }
        if (error !== EAGAIN || this.#isCalm(token, turnBytes)) this.#pending.discard(token)
        this.readNothing(token, error)
        return
      }
      this.#pipes.bytes[pipe] = received
      this.countRead(token, received)
      turnBytes += received
    }
  }

  #isCalm(token: number, turnBytes: number): boolean {
    const calmTurns = turnBytes < readBytesMax ? (this.#table.fullReads[token] ?? 0) + 1 : 0
    this.#table.fullReads[token] = calmTurns
    return calmTurns >= calmTurnsToCopy
  }

  /** After a read that brought nothing. @param error 0: the end */
  readNothing(token: number, error: number): void {
    const table = this.#table
    if (error === EAGAIN) {
      table.clear(token, tokenBit.readable)
      return
    }
    if (error === EINTR) {
      this.#queue.add(token)
      return
    }
    if (error !== 0) {
      table.set(token, tokenBit.broken)
      if (isUnresponsive(error)) table.set(token, tokenBit.unresponsive)
    }
    table.clear(token, tokenBit.readable)
    table.set(token, tokenBit.eof)
    if (!this.#pending.waiting(token)) this.#tellEnd(token)
  }

  #tellEnd(token: number): void {
    if (this.#table.has(token, tokenBit.broken)) this.#events.lost(token, this.#table.has(token, tokenBit.unresponsive))
    else this.#events.readToEnd(token)
  }
}
