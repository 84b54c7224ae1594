// The two halves of a stream that is compared: a sender that keeps to a pace and to what the socket takes, and a receiver
// that compares each byte and stalls when the plan says so.

import type { Socket } from 'node:net'
import { ByteStream } from '../byte-stream.ts'
import type { Pace, Stall } from './plan.ts'

const streamCount = 32
const offsetMax = 65_521
const streams: (ByteStream | undefined)[] = []

/** A place in one of a few streams: cheaper than a stream for each connection, and still no two alike. */
export class PlacedStream {
  readonly #stream: ByteStream
  readonly #offset: number

  constructor(seed: number) {
    const index = seed % streamCount
    this.#stream = streams[index] ??= new ByteStream(index + 1)
    this.#offset = Math.floor(seed / streamCount) % offsetMax
  }

  bytes(offset: number, byteLength: number): Buffer {
    return this.#stream.bytes(this.#offset + offset, byteLength)
  }

  matches(offset: number, chunk: Buffer): boolean {
    return this.#stream.matches(this.#offset + offset, chunk)
  }
}

/** The process is to end soon: no pauses. */
let hurried = false
const waiting = new Set<() => void>()

export function hurry(): void {
  hurried = true
  for (const wake of waiting) wake()
}

export interface SenderOptions {
  readonly socket: Socket
  readonly stream: PlacedStream
  readonly totalBytes: number
  readonly pace: Pace
  /** After each chunk. */
  readonly onSent: () => void
}

export class Sender {
  sentBytes = 0
  /** Until this is raised it sends no more. */
  limitBytes = 0
  readonly #options: SenderOptions
  #timer: NodeJS.Timeout | undefined

  constructor(options: SenderOptions) {
    this.#options = options
    options.socket.on('drain', () => this.send())
    options.socket.on('close', () => this.#stopWaiting())
  }

  get done(): boolean {
    return this.sentBytes === this.#options.totalBytes
  }

  send(): void {
    const { socket, stream, totalBytes, pace, onSent } = this.#options
    if (this.#timer !== undefined) return
    while (this.sentBytes < Math.min(totalBytes, this.limitBytes) && socket.writable && !socket.writableNeedDrain) {
      const chunk = stream.bytes(this.sentBytes, Math.min(pace.chunkBytes, totalBytes - this.sentBytes, this.limitBytes - this.sentBytes))
      this.sentBytes += chunk.byteLength
      socket.write(chunk)
      onSent()
      if (pace.gapMs > 0 && !hurried) {
        this.#wait(pace.gapMs)
        return
      }
    }
  }

  #wait(ms: number): void {
    const wake = (): void => {
      this.#stopWaiting()
      this.send()
    }
    this.#timer = setTimeout(wake, ms)
    this.#wake = wake
    waiting.add(wake)
  }

  #wake: (() => void) | undefined

  #stopWaiting(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#wake !== undefined) waiting.delete(this.#wake)
  }
}

export interface ReceiverOptions {
  readonly socket: Socket
  readonly stream: PlacedStream
  readonly totalBytes: number
  readonly stall?: Stall | undefined
}

export class Receiver {
  receivedBytes = 0
  /** The first thing that was not as it should be. */
  wrong: string | undefined
  readonly #options: ReceiverOptions
  #stalled = false

  constructor(options: ReceiverOptions) {
    this.#options = options
  }

  get done(): boolean {
    return this.receivedBytes === this.#options.totalBytes
  }

  take(chunk: Buffer): void {
    const { socket, stream, totalBytes, stall } = this.#options
    if (!stream.matches(this.receivedBytes, chunk)) this.wrong ??= `a wrong byte at or after ${this.receivedBytes} of ${totalBytes}`
    this.receivedBytes += chunk.byteLength
    if (this.receivedBytes > totalBytes) this.wrong ??= `${this.receivedBytes} bytes where ${totalBytes} were sent`
    if (stall !== undefined && !this.#stalled && this.receivedBytes > stall.atBytes) {
      this.#stalled = true
      socket.pause()
      setTimeout(() => socket.resume(), stall.ms)
    }
  }
}
