// A session's frames on a WebSocket: how they are written, and who is handed what comes.

import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { MuxLink, Wire } from './mux-link.ts'

/** Of a message that comes in: far over what we send, for peers that gather more. */
export const messageBytesMax = 1024 * 1024

/** For the peer to close too; ws itself would wait for 30 s. */
const closeMsMax = 1_000

/** Its payload (2^14, RFC 8446 §5.1). A message that fills one is there in one piece at its receiver, who copies nothing to put it together. */
const tlsRecordBytes = 16 * 1024

/** FIN and opcode 2 (RFC 6455 §5.2). */
const binaryMessage = 0x82
const maskBit = 0x80
const maskBytes = 4

/** Of a batch: four TLS records. */
const batchBytes = 64 * 1024
/** A message that is smaller, and has nothing before it, comes from Node's own pool. */
const pooledBytesMax = 4 * 1024
/** Kept for the next batches, of all connections of the thread. */
const sparesMax = 16
const spares: Buffer[] = []

/**
 * Messages are framed here, and those that the connection has not taken yet are put together in batches, each written as one piece:
 * of several pieces the TLS layer makes one itself, in memory that it takes anew each time. All else, control frames and what comes
 * in, is left to ws.
 * @param raw the WebSocket's own connection
 * @param role a client's frames are masked (RFC 6455 §5.3) with zeros: TLS has sealed them already, and masks guard proxies that see
 *   plain text
 */
export function webSocketWire(socket: WebSocket, raw: Duplex, role: 'client' | 'server'): Wire {
  return new WebSocketWire(socket, raw, role === 'client')
}

interface Batch {
  readonly buffer: Buffer
  length: number
}

class WebSocketWire implements Wire {
  readonly messageBytesMax: number
  readonly #socket: WebSocket
  readonly #raw: Duplex
  readonly #masked: boolean
  /** Of the batch that the connection has and has not taken yet. */
  #writing: Batch | undefined
  #isWriting = false
  /** Behind it; the link writes no more than its bound. */
  #waiting: Batch[] = []
  #waitingBytes = 0
  #isClosing = false
  #sent = (): void => undefined

  constructor(socket: WebSocket, raw: Duplex, masked: boolean) {
    this.#socket = socket
    this.#raw = raw
    this.#masked = masked
    this.messageBytesMax = tlsRecordBytes - headerBytesOf(tlsRecordBytes, masked)
  }

  get unsentBytes(): number {
    return this.#raw.writableLength + this.#waitingBytes
  }

  write(parts: readonly Uint8Array[], bytes: number, sent: () => void): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#sent = sent
    const frameBytes = headerBytesOf(bytes, this.#masked) + bytes
    if (!this.#isWriting && frameBytes <= pooledBytesMax) {
      const frame = Buffer.allocUnsafe(frameBytes)
      putFrame(frame, 0, parts, bytes, this.#masked)
      this.#isWriting = true
      this.#raw.write(frame, this.#taken)
      return
    }
    let batch = this.#waiting.at(-1)
    if (batch === undefined || batch.length + frameBytes > batchBytes) {
      batch = { buffer: spares.pop() ?? Buffer.allocUnsafeSlow(batchBytes), length: 0 }
      this.#waiting.push(batch)
    }
    putFrame(batch.buffer, batch.length, parts, bytes, this.#masked)
    batch.length += frameBytes
    this.#waitingBytes += frameBytes
    if (!this.#isWriting) this.#writeNext()
  }

  close(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    setTimeout(() => this.#socket.terminate(), closeMsMax).unref()
    if (!this.#isWriting) this.#socket.close(1000)
  }

  #writeNext(): void {
    const batch = this.#waiting.shift()
    this.#writing = batch
    this.#isWriting = batch !== undefined
    if (batch === undefined) {
      if (this.#isClosing) this.#socket.close(1000)
      return
    }
    this.#waitingBytes -= batch.length
    this.#raw.write(batch.buffer.subarray(0, batch.length), this.#taken)
  }

  readonly #taken = (error?: Error | null): void => {
    const batch = this.#writing
    this.#writing = undefined
    if (error instanceof Error) {
      // It closes, and that ends the link.
      this.#waiting = []
      this.#waitingBytes = 0
    } else if (batch !== undefined && spares.length < sparesMax) spares.push(batch.buffer)
    this.#writeNext()
    this.#sent()
  }
}

/** RFC 6455 §5.2. @param bytes of the payload; below 64 KiB */
function headerBytesOf(bytes: number, masked: boolean): number {
  return (bytes < 126 ? 2 : 4) + (masked ? maskBytes : 0)
}

/** @param bytes of all parts; below 64 KiB */
function putFrame(into: Buffer, from: number, parts: readonly Uint8Array[], bytes: number, masked: boolean): void {
  const isShort = bytes < 126
  let at = from + headerBytesOf(bytes, masked)
  into[from] = binaryMessage
  into[from + 1] = (masked ? maskBit : 0) | (isShort ? bytes : 126)
  if (!isShort) into.writeUInt16BE(bytes, from + 2)
  if (masked) into.fill(0, at - maskBytes, at)
  for (const part of parts) {
    into.set(part, at)
    at += part.length
  }
}

/**
 * What comes in goes to the session; the connection's end is its end.
 * @param text what to do with text messages, which are beside the session; absent: they end it
 */
export function linkWebSocket(socket: WebSocket, link: MuxLink, text?: (message: string) => void): void {
  socket.binaryType = 'nodebuffer'
  socket.on('message', (bytes: Buffer, isBinary: boolean) => {
    if (isBinary) link.received(bytes)
    else if (text !== undefined) text(bytes.toString())
    else link.closed('a text message: frames are binary')
  })
  // It closes after an error, and the code tells.
  let error: string | undefined
  socket.on('error', (cause) => {
    error = cause.message
  })
  socket.on('close', (code, reason) => link.closed(error ?? (reason.length > 0 ? `${code} ${reason.toString('latin1').slice(0, 123)}` : `connection closed (${code})`)))
}
