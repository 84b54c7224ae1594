// One connection of the generator: connects, sends the hello, and hands on what it reads. All connections of a thread
// read into one static buffer, so a read costs no allocation.

import { connect, type Socket } from 'node:net'
import type { LoadTarget } from './load.ts'

const readBuffer = Buffer.allocUnsafe(256 * 1024)

export interface ClientOwner {
  /** The system has connected it; the hello is on its way. */
  connected(client: HelloClient): void
  /** `readBuffer.subarray(0, byteLength)` is valid until this returns. */
  read(client: HelloClient, byteLength: number, bytes: Buffer): void
  /** It ended, though not through `reset`. Called once. */
  broken(client: HelloClient, reason: string): void
}

export class HelloClient {
  readonly socket: Socket
  readonly #owner: ClientOwner
  #done = false

  constructor({ port, hello }: LoadTarget, owner: ClientOwner) {
    this.#owner = owner
    this.socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      autoSelectFamily: false,
      onread: {
        buffer: readBuffer,
        callback: (byteLength) => {
          if (!this.#done) owner.read(this, byteLength, readBuffer)
          return true
        },
      },
    })
    this.socket.once('connect', () => owner.connected(this))
    this.socket.once('error', (error) => this.#broken(error.message))
    this.socket.once('end', () => this.#broken('the relay closed the connection'))
    this.socket.once('close', () => this.#broken('the connection closed'))
    this.socket.write(hello)
  }

  /** RST: leaves no TIME_WAIT behind. */
  reset(): void {
    this.#done = true
    this.socket.resetAndDestroy()
  }

  #broken(reason: string): void {
    if (this.#done) return
    this.#done = true
    this.socket.destroy()
    this.#owner.broken(this, reason)
  }
}
