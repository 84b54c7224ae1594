// Two sessions that are each other's peer, with a wire between them that a test can hold back and cut as it likes.

import { WindowBudget } from '../../../src/core/mux/window.ts'
import type { MuxLimits, SessionEnd } from '../../../src/core/mux/limits.ts'
import { MuxSession, type SessionHandler } from '../../../src/core/mux/session.ts'
import type { MuxStream, StreamHandler } from '../../../src/core/mux/stream.ts'

/** A stream as one side sees it, with all that has come. */
export class SeenStream implements StreamHandler {
  readonly stream: MuxStream
  readonly chunks: Buffer[] = []
  bytes = 0
  taken = 0
  ended: 'no' | 'finished' | 'reset' = 'no'
  writable_ = true
  /** Takes what comes at once. */
  takes = true

  constructor(stream: MuxStream) {
    this.stream = stream
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  data(bytes: Uint8Array): void {
    this.chunks.push(Buffer.from(bytes))
    this.bytes += bytes.length
    if (this.takes) this.take(bytes.length)
  }

  take(bytes: number): void {
    this.taken += bytes
    this.stream.consumed(bytes)
  }

  finished(): void {
    this.ended = 'finished'
  }

  reset(): void {
    this.ended = 'reset'
  }

  writable(): void {
    this.writable_ = true
  }

  write(bytes: Uint8Array): void {
    this.writable_ = this.stream.write(bytes)
  }
}

export class Peer implements SessionHandler {
  readonly session: MuxSession
  readonly streams = new Map<number, SeenStream>()
  readonly budget: WindowBudget
  accepts = true
  takes = true
  end: SessionEnd | undefined
  away = false
  /** Written and wholly handed out. */
  spentBytes = 0
  /** Bytes on their way to the other one. */
  wire = Buffer.alloc(0)

  constructor(role: 'client' | 'server', { limits = {}, budget = new WindowBudget() }: { limits?: Partial<MuxLimits>; budget?: WindowBudget } = {}) {
    this.budget = budget
    this.session = new MuxSession({ role, handler: this, budget, nowMs: 0, random: () => 0.5, limits })
  }

  opened(stream: MuxStream): StreamHandler | undefined {
    if (!this.accepts) return undefined
    return this.#see(stream)
  }

  sendable(): void {
    // `flush` asks.
  }

  spent(bytes: Uint8Array): void {
    this.spentBytes += bytes.length
  }

  goingAway(): void {
    this.away = true
  }

  ended(end: SessionEnd): void {
    this.end = end
  }

  open(): SeenStream {
    let seen: SeenStream | undefined
    const stream = this.session.open({
      data: (bytes) => seen?.data(bytes), finished: () => seen?.finished(), reset: () => seen?.reset(), writable: () => seen?.writable(),
    })
    if (typeof stream === 'string') throw new Error(stream)
    seen = this.#see(stream)
    return seen
  }

  /** Puts frames on the wire: all, or so many. */
  flush(nowMs: number, framesMax = Infinity): void {
    const parts: Uint8Array[] = [this.wire]
    for (let frames = 0; frames < framesMax; frames++) {
      const frame = this.session.nextFrame(nowMs)
      if (frame === undefined) break
      parts.push(Buffer.from(frame.header))
      if (frame.payload !== undefined) parts.push(Buffer.from(frame.payload))
    }
    this.wire = Buffer.concat(parts)
  }

  /** Gives the other one up to so many bytes of the wire. */
  deliver(to: Peer, nowMs: number, bytesMax = Infinity): void {
    const bytes = this.wire.subarray(0, bytesMax)
    this.wire = this.wire.subarray(bytes.length)
    to.session.receive(bytes, nowMs)
  }

  #see(stream: MuxStream): SeenStream {
    const seen = new SeenStream(stream)
    seen.takes = this.takes
    this.streams.set(stream.id, seen)
    return seen
  }
}

/** Until neither has anything to say. */
export function settle(one: Peer, other: Peer, nowMs: number): void {
  do {
    for (const [from, to] of [[one, other], [other, one]] as const) {
      from.flush(nowMs)
      from.deliver(to, nowMs)
    }
    one.flush(nowMs)
  } while (one.wire.length > 0)
}
