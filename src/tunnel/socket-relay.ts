// A stream and a socket as one connection: bytes both ways, FIN for FIN, RST for RST, and a reader that stops stops the other
// side's writer.

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { MuxStream, StreamHandler } from '../core/mux/stream.ts'
import type { RelayEnd } from '../core/tunnel/tunnel-observer.ts'

/** A piece of a bulky flow: others are about to come in this turn, and go out in one system call with it. */
const bulkBytes = 8 * 1024

export interface SocketRelayTotals {
  toSocketBytes: number
  fromSocketBytes: number
}

export class SocketRelay implements StreamHandler {
  readonly totals: SocketRelayTotals = { toSocketBytes: 0, fromSocketBytes: 0 }
  readonly #stream: MuxStream
  readonly #socket: Socket
  readonly #ended: (end: RelayEnd) => void
  /** Written to the socket and not yet taken: credit that the stream is owed. */
  #owedBytes = 0
  #isEnded = false

  /**
   * Takes over the socket, which must allow half-open connections.
   * @param ended once, when both are done with
   */
  constructor(stream: MuxStream, socket: Socket, ended: (end: RelayEnd) => void) {
    this.#stream = stream
    this.#socket = socket
    this.#ended = ended
    socket.on('data', (bytes: Buffer) => this.fromSocket(bytes))
    socket.on('end', () => stream.finish())
    socket.on('drain', () => this.#drained())
    // What went wrong is in how it closes.
    socket.on('error', () => undefined)
    socket.on('close', (hadError) => this.#closed(hadError))
  }

  fromSocket(bytes: Uint8Array): void {
    this.totals.fromSocketBytes += bytes.length
    if (!this.#stream.write(bytes)) this.#socket.pause()
  }

  data(bytes: Uint8Array): void {
    this.totals.toSocketBytes += bytes.length
    if (bytes.length >= bulkBytes && this.#socket.writableCorked === 0) {
      this.#socket.cork()
      setImmediate(() => this.#socket.uncork())
    }
    if (this.#socket.write(bytes)) this.#stream.consumed(bytes.length)
    else this.#owedBytes += bytes.length
  }

  finished(): void {
    this.#socket.end()
  }

  reset(): void {
    this.#end('stream-reset')
    if (canReset(this.#socket)) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  writable(): void {
    this.#socket.resume()
  }

  #drained(): void {
    const owedBytes = this.#owedBytes
    this.#owedBytes = 0
    if (owedBytes > 0) this.#stream.consumed(owedBytes)
  }

  #closed(hadError: boolean): void {
    if (hadError || !this.#socket.readableEnded || !this.#socket.writableFinished) {
      this.#stream.reset()
      this.#end('socket-reset')
    } else this.#end('completed')
  }

  #end(end: RelayEnd): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#ended(end)
  }
}

/** Only TCP has a reset. TLS that ends without its close_notify says as much; on a Unix socket an end is an end. */
function canReset(socket: Socket): boolean {
  return socket.remoteAddress !== undefined && !(socket instanceof TLSSocket)
}
