// The last moments of a socket that its connection is done with: bytes before the RST delivered, an alert read by the
// client before the descriptor goes. Each wait has a bound, and so has the number of sockets that wait.

import type { Socket } from 'node:net'
import { alertLingerBytesMax, alertLingerMsMax, alertLingersMax, resetFlushMsMax, unsentBytesSafe } from '../closing-limits.ts'

/** Node can't ask how much the system has not sent yet (SIOCOUTQ): after a burst the RST is held back this long. */
const resetAfterBurstMs = 1_000

export class SocketCloser {
  readonly #closing = new Set<Socket>()
  #alertLingers = 0
  #whenEmpty: (() => void)[] = []

  /** Sockets that are still closing. */
  get size(): number {
    return this.#closing.size
  }

  /**
   * RST, after the bytes that were written before.
   * @param burstBytes written without a pause, just now
   */
  reset(socket: Socket, burstBytes: number): void {
    silence(socket)
    if (socket.destroyed) return
    if (socket.connecting) {
      // resetAndDestroy would wait for the connection first.
      socket.destroy()
    } else if (socket.writableEnded) {
      // libuv does not reset after a shutdown (EINVAL), and node would lose the descriptor over it. A plain close delivers
      // what was written, and the system answers whatever still comes with RST.
      this.close(socket)
    } else if (socket.writableLength === 0 && burstBytes <= unsentBytesSafe) {
      socket.resetAndDestroy()
    } else {
      this.#track(socket, resetFlushMsMax)
      socket.pause()
      socket.write('', () => {
        const timer = setTimeout(() => socket.resetAndDestroy(), resetAfterBurstMs)
        socket.once('close', () => clearTimeout(timer))
      })
    }
  }

  /** For a socket whose peer has sent FIN, or that is owed nothing more: what was written, FIN, and close. */
  close(socket: Socket): void {
    silence(socket)
    if (socket.destroyed) return
    if (socket.writableLength === 0) {
      socket.destroy()
    } else {
      this.#track(socket, resetFlushMsMax)
      socket.destroySoon()
    }
  }

  /** These bytes, FIN, and whatever the client still sends is read and thrown away until it closes. */
  sendAndClose(socket: Socket, bytes: Uint8Array): void {
    silence(socket)
    if (socket.destroyed) return
    if (this.#alertLingers >= alertLingersMax) {
      // The system takes so few bytes at once, and the descriptor is free at once too: waiting for the FIN to have left would
      // hold one for each client of a whole backlog.
      socket.write(bytes)
      socket.destroy()
      return
    }
    this.#alertLingers += 1
    this.#track(socket, alertLingerMsMax)
    socket.once('close', () => {
      this.#alertLingers -= 1
    })
    let lingerBytes = 0
    socket.on('data', (chunk: Buffer) => {
      lingerBytes += chunk.byteLength
      if (lingerBytes > alertLingerBytesMax) socket.destroy()
    })
    socket.once('end', () => socket.destroySoon())
    socket.end(bytes)
    socket.resume()
  }

  /** Closes all of them now. Resolves when the last descriptor is gone. */
  async destroyAll(): Promise<void> {
    for (const socket of this.#closing) socket.destroy()
    await this.whenEmpty()
  }

  async whenEmpty(): Promise<void> {
    if (this.#closing.size === 0) return
    await new Promise<void>((resolve) => {
      this.#whenEmpty.push(resolve)
    })
  }

  #track(socket: Socket, limitMs: number): void {
    this.#closing.add(socket)
    const timer = setTimeout(() => socket.destroy(), limitMs)
    socket.once('close', () => {
      clearTimeout(timer)
      this.#closing.delete(socket)
      if (this.#closing.size > 0) return
      const waiting = this.#whenEmpty
      this.#whenEmpty = []
      for (const resolve of waiting) resolve()
    })
  }
}

/** Nothing that happens to this socket matters any more; but an 'error' without a listener would throw. */
function silence(socket: Socket): void {
  for (const event of ['connect', 'data', 'end', 'drain', 'finish', 'error']) socket.removeAllListeners(event)
  socket.on('error', ignoreError)
}

function ignoreError(): void {
  // The connection has ended, and its record has been written.
}
