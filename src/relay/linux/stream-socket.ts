// One connection at the end of a tunnel's stream, as a bare descriptor: no object of node's own stands behind it. What its
// descriptor has to say comes edge-triggered from the epoll instance of its thread (stream-sockets.ts).
//
//   recv ─▶ the thread's buffer ─▶ a copy for the handler         write ─▶ send ── full ──▶ queue ── EPOLLOUT ──▶ send
//
// As in the relay, a connection that breaks is read to its end first: what came before a RST is delivered.

import type { SocketAddress } from '../../core/net/socket-address.ts'
import { isDueSoon, lookAfterMs, notLooked } from '../../core/peer-silence.ts'
import { lend, readBufferBytes, takeReadBuffer } from '../../core/tunnel/read-buffers.ts'
import type { SocketHandler, StreamSocket } from '../../core/tunnel/stream-sockets.ts'
import * as libc from './libc.ts'
import { lookAtPeer } from './peer-watch.ts'

/** Of small pieces that one send is given, put together. */
export const streamBufferBytes = 128 * 1024
/** Given on in the memory that it was read into; less would waste too much of it. */
const bulkReadBytes = 48 * 1024
/** Written from where they are: to find out where that is costs as much as copying this. */
const bulkPieceBytes = 4 * 1024
/** Of one send. */
const sendBytesMax = 256 * 1024
/** Read from one socket before others have their turn. */
const turnBytesMax = 256 * 1024
/** A piece of a bulky flow: others are about to come in this turn, and go out in one system call with it. */
const bulkBytes = 8 * 1024

/** What it has of its thread. */
export interface SocketThread {
  /** For what is sent in one call, where it is not sent from where it is. */
  readonly buffer: libc.NativeMemory
  readonly pieces: libc.Pieces
  /** For the next read. */
  readBuffer: ReadBuffer
  /** Calls the socket's `turn` soon, when all that is ready has been heard. */
  later(socket: LinuxStreamSocket): void
  /** Whether its events say when it takes bytes again. */
  watchWritable(fd: number, token: number, watched: boolean): void
  /** Its descriptor is to be closed. */
  close(socket: LinuxStreamSocket): void
}

const bit = {
  /** More may be there to read: only EAGAIN or a short read tells that there is not. */
  readable: 1,
  /** FIN or RST has come: read on to the end, whatever a short read says. */
  ending: 2,
  paused: 4,
  /** The end has been read. */
  eof: 8,
  /** Sending has failed: what is written is thrown away, and what has come is read before it ends. */
  broken: 16,
  /** FIN follows what is queued. */
  finishing: 32,
  finSent: 64,
  /** `turn` is due. */
  queued: 128,
  /** The system takes no more for now. */
  full: 256,
  /** In a call of `read`: the loop there goes on by itself. */
  reading: 512,
} as const

const nobody: SocketHandler = { received: () => undefined, peerFinished: () => undefined, taken: () => undefined, closed: () => undefined }

export interface ReadBuffer {
  readonly bytes: Uint8Array
  readonly address: number
}

export function nextReadBuffer(): ReadBuffer {
  const bytes = takeReadBuffer()
  return { bytes, address: libc.addressOf(bytes) }
}

export class LinuxStreamSocket implements StreamSocket {
  handler: SocketHandler = nobody
  readonly peer: SocketAddress | undefined
  readonly token: number
  /** -1: closed */
  fd: number
  /** Of the listener that has accepted it. */
  readonly counted: { open: number } | undefined
  readonly #thread: SocketThread
  #bits: number = bit.paused
  /** `look` is due, by `performance.now()`. */
  lookAtMs: number
  #lookedMs: number
  /** As `lookAtPeer` gave it. */
  #asked: number = notLooked
  /** Written and not sent; the first one from `#queueAt` on. */
  #queue: Uint8Array[] | undefined
  #queueAt = 0

  constructor(thread: SocketThread, { fd, token, peer, counted }: { readonly fd: number; readonly token: number; readonly peer: SocketAddress | undefined; readonly counted: { open: number } | undefined }) {
    this.#thread = thread
    this.fd = fd
    this.token = token
    this.peer = peer
    this.counted = counted
    this.#lookedMs = performance.now()
    this.lookAtMs = peer === undefined ? Infinity : this.#lookedMs + lookAfterMs(notLooked, this.#lookedMs, token)
  }

  write(bytes: Uint8Array): number {
    if (this.fd === -1 || this.#has(bit.broken)) return bytes.length
    if (this.#queue === undefined && bytes.length < bulkBytes) {
      const { buffer } = this.#thread
      buffer.bytes.set(bytes)
      const sent = libc.send(this.fd, buffer.address, bytes.length, libc.MSG_NOSIGNAL)
      if (sent === bytes.length) return sent
      if (sent === -1 && !this.#isFull(libc.errno())) return bytes.length
      this.#watch(true)
      this.#queue = [sent > 0 ? bytes.subarray(sent) : bytes]
      return Math.max(0, sent)
    }
    if (this.#queue === undefined) {
      this.#queue = [bytes]
      this.#later()
    } else this.#queue.push(bytes)
    return 0
  }

  finish(): void {
    if (this.#has(bit.finishing)) return
    this.#set(bit.finishing)
    this.#finishIfSent()
    // Whoever finishes is not called from within.
    if (this.#has(bit.eof)) this.#later()
  }

  reset(): void {
    if (this.fd === -1) return
    this.handler = nobody
    libc.setResetOnClose(this.fd)
    this.#close()
  }

  pause(): void {
    this.#set(bit.paused)
  }

  resume(): void {
    if (!this.#has(bit.paused)) return
    this.#clear(bit.paused)
    if (this.#has(bit.readable)) this.#later()
  }

  /** Its descriptor has something to say. */
  ready(events: number): void {
    if ((events & libc.EPOLLOUT) !== 0 && this.#has(bit.full)) {
      this.#clear(bit.full)
      this.#flush()
      this.#endIfDone()
    }
    if ((events & (libc.EPOLLIN | libc.EPOLLRDHUP | libc.EPOLLHUP | libc.EPOLLERR)) === 0) return
    this.#set((events & (libc.EPOLLRDHUP | libc.EPOLLHUP | libc.EPOLLERR)) === 0 ? bit.readable : bit.readable | bit.ending)
    this.#read()
  }

  /** What it asked for by `later`. */
  turn(): void {
    this.#clear(bit.queued)
    if (!this.#has(bit.full)) this.#flush()
    this.#read()
    this.#endIfDone()
  }

  /** Ends it where its peer's host has vanished. */
  look(nowMs: number): void {
    if (this.fd === -1) return
    this.#asked = lookAtPeer(this.fd, this.#asked, nowMs - this.#lookedMs, !isDueSoon(this.#asked), 0)
    this.#lookedMs = nowMs
    if (this.#asked !== -1) {
      this.lookAtMs = nowMs + lookAfterMs(this.#asked, nowMs, this.token)
      return
    }
    libc.setResetOnClose(this.fd)
    this.#end(false)
  }

  #read(): void {
    if (this.#has(bit.reading)) return
    this.#set(bit.reading)
    let turnBytes = 0
    while (this.fd !== -1 && this.#has(bit.readable) && !this.#has(bit.paused)) {
      if (turnBytes >= turnBytesMax) {
        this.#later()
        break
      }
      turnBytes += this.#receive()
    }
    this.#clear(bit.reading)
  }

  /** @returns how much */
  #receive(): number {
    const { readBuffer } = this.#thread
    const received = libc.recv(this.fd, readBuffer.address, readBufferBytes, 0)
    if (received > 0) {
      if (received < readBufferBytes && !this.#has(bit.ending)) this.#clear(bit.readable)
      if (received < bulkReadBytes) this.handler.received(Buffer.from(readBuffer.bytes.subarray(0, received)))
      else {
        this.#thread.readBuffer = nextReadBuffer()
        this.handler.received(lend(readBuffer.bytes, received))
      }
      return received
    }
    const error = received === 0 ? 0 : libc.errno()
    if (error === libc.EINTR) return 0
    this.#clear(bit.readable)
    if (this.#has(bit.broken)) this.#end(false)
    else if (error === libc.EAGAIN) return 0
    else if (error !== 0) this.#end(false)
    else if (!this.#has(bit.eof)) {
      this.#set(bit.eof)
      this.handler.peerFinished()
      this.#endIfDone()
    }
    return 0
  }

  /** What is queued, as far as the system takes it. */
  #flush(): void {
    let taken = 0
    while (this.#queue !== undefined && this.fd !== -1) {
      const sent = this.#gather(this.#queue).send(this.fd, libc.MSG_NOSIGNAL)
      if (sent === -1 && this.#isFull(libc.errno())) {
        this.#watch(true)
        break
      }
      taken += sent === -1 ? this.#discard() : this.#drop(this.#queue, sent)
    }
    if (this.#queue === undefined) this.#watch(false)
    if (taken > 0) this.handler.taken(taken)
    this.#finishIfSent()
  }

  /** The queue's front: large pieces where they are, small ones put together. */
  #gather(queue: readonly Uint8Array[]): libc.Pieces {
    const { buffer, pieces } = this.#thread
    pieces.clear()
    let [from, bufferAt, gatheredAt] = [this.#queueAt, 0, 0]
    for (const chunk of queue) {
      const part = from === 0 ? chunk : chunk.subarray(from)
      from = 0
      if (part.length < bulkPieceBytes) {
        if (bufferAt + part.length > buffer.bytes.length) break
        buffer.bytes.set(part, bufferAt)
        bufferAt += part.length
        continue
      }
      if (bufferAt > gatheredAt) pieces.add(buffer.address + gatheredAt, bufferAt - gatheredAt)
      gatheredAt = bufferAt
      if (pieces.isFull || pieces.bytes >= sendBytesMax) return pieces
      pieces.add(libc.addressOf(part), part.length)
      if (pieces.isFull) return pieces
    }
    if (bufferAt > gatheredAt) pieces.add(buffer.address + gatheredAt, bufferAt - gatheredAt)
    return pieces
  }

  #drop(queue: Uint8Array[], sent: number): number {
    let [at, chunks] = [this.#queueAt + sent, 0]
    for (const chunk of queue) {
      if (at < chunk.length) break
      at -= chunk.length
      chunks += 1
    }
    queue.splice(0, chunks)
    this.#queueAt = at
    if (queue.length === 0) this.#queue = undefined
    return sent
  }

  /** @returns what was queued */
  #discard(): number {
    const bytes = (this.#queue ?? []).reduce((sum, { length }) => sum + length, 0) - this.#queueAt
    this.#queue = undefined
    this.#queueAt = 0
    return bytes
  }

  /** After a send that failed. @returns whether the socket takes bytes later; otherwise it is broken, and its end tells */
  #isFull(error: number): boolean {
    if (error === libc.EAGAIN) return true
    this.#set(bit.broken | bit.readable | bit.ending)
    // Whoever writes is not called from within. No more can come than the system has already.
    this.#clear(bit.paused)
    this.#later()
    return false
  }

  /** On TCP its edge comes only when the system had said that it is full; a Unix socket's would come with each message that is read. */
  #watch(full: boolean): void {
    if (full === this.#has(bit.full)) return
    if (full) this.#set(bit.full)
    else this.#clear(bit.full)
    if (this.peer === undefined) this.#thread.watchWritable(this.fd, this.token, full)
  }

  #finishIfSent(): void {
    if (this.fd === -1 || !this.#has(bit.finishing) || this.#has(bit.finSent) || this.#queue !== undefined) return
    this.#set(bit.finSent)
    if (!this.#has(bit.broken)) libc.shutdown(this.fd, libc.SHUT_WR)
  }

  #endIfDone(): void {
    if (this.#has(bit.eof) && this.#has(bit.finSent)) this.#end(!this.#has(bit.broken))
  }

  #end(isWhole: boolean): void {
    if (this.fd === -1) return
    this.#close()
    this.handler.closed(isWhole)
  }

  #close(): void {
    this.#queue = undefined
    this.#thread.close(this)
    this.fd = -1
  }

  #later(): void {
    if (this.#has(bit.queued)) return
    this.#set(bit.queued)
    this.#thread.later(this)
  }

  #has(of: number): boolean {
    return (this.#bits & of) !== 0
  }

  #set(of: number): void {
    this.#bits |= of
  }

  #clear(of: number): void {
    this.#bits &= ~of
  }
}
