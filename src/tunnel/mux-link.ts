// A yamux session on a connection: hands it what comes, and writes what it has to send while the socket has room.
//
//   wire ─ received ─▶ MuxSession ─ nextFrame … ─▶ one message ─▶ wire
//
// Frames are gathered once a turn of the event loop, after all sockets that were ready have been read, and go out together:
// one message, one TLS record, one system call for what many streams have said. No more than `unsentBytesMax` lies in the
// socket, where nothing can overtake it.

import { headerBytes } from '../core/mux/frame.ts'
import type { MuxLimits, SessionEnd } from '../core/mux/limits.ts'
import { MuxSession } from '../core/mux/session.ts'
import type { MuxStream, StreamHandler } from '../core/mux/stream.ts'
import type { WindowBudget } from '../core/mux/window.ts'
import { giveBack } from '../core/tunnel/read-buffers.ts'

/** The connection below: whole messages or a stream of bytes, the session doesn't mind. */
export interface Wire {
  /** Written and not yet taken by the system. */
  readonly unsentBytes: number
  /** Of a message. */
  readonly messageBytesMax: number
  /**
   * One message of these parts, which may change after the call.
   * @param bytes of all of them
   * @param sent called when the system has it, and perhaps others before it; the same one each time
   */
  write(parts: readonly Uint8Array[], bytes: number, sent: () => void): void
  /** After what was written. */
  close(): void
}

/** In the socket, written and not sent: what is behind it waits in the session's queue, by priority. */
const unsentBytesMax = 256 * 1024
/** A frame for less room is not worth its header. */
const payloadRoomMin = 1024

export interface MuxLinkOptions {
  readonly role: 'client' | 'server'
  readonly wire: Wire
  readonly budget: WindowBudget
  readonly limits?: Partial<MuxLimits>
  /** As in `SessionHandler`. */
  readonly opened: (stream: MuxStream) => StreamHandler | undefined
  readonly goingAway: () => void
  /** The wire is closed once what the session had to say is sent. */
  readonly ended: (end: SessionEnd) => void
}

export class MuxLink {
  readonly session: MuxSession
  readonly #wire: Wire
  readonly #ended: MuxLinkOptions['ended']
  #timer: NodeJS.Timeout | undefined
  #scheduled = false
  /** Of the message that is being written. */
  readonly #spent: Uint8Array[] = []

  constructor({ role, wire, budget, limits = {}, opened, goingAway, ended }: MuxLinkOptions) {
    this.#wire = wire
    this.#ended = ended
    this.session = new MuxSession({
      role, budget, limits, nowMs: performance.now(), random: Math.random,
      handler: { opened, goingAway, spent: (bytes) => this.#spent.push(bytes), sendable: () => this.#schedule(), ended: (end) => this.#sessionEnded(end) },
    })
    this.#tick()
  }

  received(bytes: Uint8Array): void {
    this.session.receive(bytes, performance.now())
  }

  /** The connection has ended. */
  closed(detail: string): void {
    this.session.close(detail)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#pump)
  }

  readonly #pump = (): void => {
    this.#scheduled = false
    const nowMs = performance.now()
    while (this.#wire.unsentBytes < unsentBytesMax && this.#writeMessage(nowMs));
    if (this.session.end !== undefined) this.#wire.close()
  }

  readonly #sent = (): void => {
    // What was held back for want of room; without, this finds nothing.
    if (this.#wire.unsentBytes < unsentBytesMax / 2) this.#schedule()
  }

  /** Frames up to a message's size. @returns whether there was one */
  #writeMessage(nowMs: number): boolean {
    const { messageBytesMax } = this.#wire
    const parts: Uint8Array[] = []
    let bytes = 0
    while (bytes + headerBytes + payloadRoomMin <= messageBytesMax) {
      const frame = this.session.nextFrame(nowMs, messageBytesMax - bytes - headerBytes)
      if (frame === undefined) break
      // The header is written over by the next one.
      parts.push(frame.header.slice())
      bytes += headerBytes
      if (frame.payload === undefined) continue
      parts.push(frame.payload)
      bytes += frame.payload.length
    }
    if (bytes === 0) return false
    this.#wire.write(parts, bytes, this.#sent)
    for (let spent = this.#spent.pop(); spent !== undefined; spent = this.#spent.pop()) giveBack(spent)
    return true
  }

  #tick(): void {
    this.session.tick(performance.now())
    const { deadlineMs } = this.session
    if (deadlineMs === Infinity) return
    // Node runs timers before sockets: after a stall, what has arrived meanwhile must be heard before silence is judged.
    this.#timer = setTimeout(() => setImmediate(() => this.#tick()), Math.max(1, deadlineMs - performance.now()))
    this.#timer.unref()
  }

  #sessionEnded(end: SessionEnd): void {
    clearTimeout(this.#timer)
    this.#ended(end)
    this.#schedule()
  }
}
