// A yamux session (hashicorp/yamux, spec.md) without a connection: bytes that came go in by `receive`, frames that are to go
// come out by `nextFrame`, and time is passed in. Both peers are equal but for the parity of the streams that they open.
//
//   transport ── receive ──▶ FrameReader ─▶ session ─▶ StreamHandler.data, finished, reset
//   transport ◀─ nextFrame ─ SendQueue  ◀─ stream.write, finish, reset, consumed
//
// The transport calls `nextFrame` while its socket has room, and again when `SessionHandler.sendable` has been called. A fault of
// one stream resets that stream; only what breaks the protocol or floods ends the session, which then says go-away.

import { FloodGuard } from './flood-guard.ts'
import { frameFlag, frameType, FrameReader, goAwayCode, type FrameHeader } from './frame.ts'
import { Heartbeat } from './heartbeat.ts'
import { createMuxCounters, muxLimits, type FloodKind, type MuxCounters, type MuxLimits, type SessionEnd } from './limits.ts'
import { Flow, SendQueue, type OutgoingFrame } from './send-queue.ts'
import { MuxStream, type StreamHandler, type StreamOwner } from './stream.ts'
import { initialWindowBytes, ReceiveWindow, type WindowBudget } from './window.ts'

export interface SessionHandler {
  /**
   * The peer has opened a stream; its first bytes come after this.
   * @returns what becomes of it; undefined: it is reset
   */
  opened(stream: MuxStream): StreamHandler | undefined
  /** From within `nextFrame`: its frame has the last of these bytes, which were written to a stream in one piece. */
  spent(bytes: Uint8Array): void
  /** There is something for `nextFrame`, where there was nothing. Not called from within `nextFrame`. */
  sendable(): void
  /** The peer opens no more streams, and wants none: it is about to go. */
  goingAway(): void
  /** Exactly once. All streams have been reset. What `nextFrame` still gives should be sent before the connection is closed. */
  ended(end: SessionEnd): void
}

export interface SessionOptions {
  /** The client opens odd streams, the server even ones. */
  readonly role: 'client' | 'server'
  readonly handler: SessionHandler
  readonly budget: WindowBudget
  readonly nowMs: number
  /** 0 to 1. */
  readonly random: () => number
  readonly limits?: Partial<MuxLimits>
}

/** @returns why no stream can be opened now */
export type OpenRefusal = 'ended' | 'going-away' | 'backlog' | 'ids-used-up'

export class MuxSession {
  readonly counters: MuxCounters = createMuxCounters()
  readonly #handler: SessionHandler
  readonly #limits: MuxLimits
  readonly #budget: WindowBudget
  readonly #parity: number
  readonly #reader: FrameReader
  readonly #queue: SendQueue
  readonly #heartbeat: Heartbeat
  readonly #guard: FloodGuard
  readonly #streams = new Map<number, MuxStream>()
  readonly #owner: StreamOwner
  #nowMs: number
  #nextId: number
  #unacknowledged = 0
  /** The peer's streams, and those of them that are gone and still held. */
  #peerSlots = 0
  /** Of the payload that is being read. */
  #receiving: MuxStream | undefined
  #payloadLeft = 0
  #finBehindPayload = false
  /** What may still be under way for streams that are gone. */
  #strayAllowed = 0
  /** Infinity: we have not said that we go. */
  #refusesFromMs = Infinity
  #peerGoes = false
  #end: SessionEnd | undefined
  #toldSendable = false

  constructor({ role, handler, budget, nowMs, random, limits = {} }: SessionOptions) {
    this.#handler = handler
    this.#budget = budget
    this.#limits = { ...muxLimits, ...limits }
    this.#nowMs = nowMs
    this.#parity = role === 'client' ? 1 : 0
    this.#nextId = role === 'client' ? 1 : 2
    this.#guard = new FloodGuard(this.#limits.rates, nowMs)
    this.#heartbeat = new Heartbeat({ pingIntervalMs: this.#limits.pingIntervalMs, silenceMs: this.#limits.silenceMs, nowMs, random })
    this.#reader = new FrameReader({
      frame: (header) => this.#frame(header),
      payload: (bytes) => this.#payload(bytes),
      malformed: (detail) => this.#protocolError(detail),
    })
    this.#queue = new SendQueue({
      limits: this.#limits,
      finSent: (flow) => this.#closeIfDone(this.#streams.get(flow.streamId)),
      writable: (flow) => this.#streams.get(flow.streamId)?.handler?.writable(),
      spent: (bytes) => handler.spent(bytes),
      controlOverflow: () => this.#finish({ reason: 'flood', kind: 'control' }, goAwayCode.protocolError),
    })
    this.#owner = {
      write: (stream, bytes) => this.#write(stream, bytes),
      finish: (stream) => this.#finishStream(stream),
      reset: (stream) => this.#resetStream(stream),
      consumed: (stream, bytes) => this.#consumed(stream, bytes),
      released: (stream) => {
        if (stream.closed) this.#peerSlots -= 1
      },
    }
  }

  /** Undefined while it lives. */
  get end(): SessionEnd | undefined {
    return this.#end
  }

  get streamCount(): number {
    return this.#streams.size
  }

  /** Undefined before the first ping was answered. */
  get rttMs(): number | undefined {
    return this.#heartbeat.rttMs
  }

  get pingUnansweredSinceMs(): number | undefined {
    return this.#heartbeat.unansweredSinceMs
  }

  /** Payload that waits to be sent. */
  get queuedBytes(): number {
    return this.#queue.queuedBytes
  }

  /** `tick` is to be called then. */
  get deadlineMs(): number {
    return this.#end === undefined ? this.#heartbeat.deadlineMs : Infinity
  }

  /** Bytes from the peer, cut anywhere. They may be written over after the call. */
  receive(bytes: Uint8Array, nowMs: number): void {
    if (this.#end !== undefined) return
    this.#nowMs = nowMs
    this.#heartbeat.heard(nowMs)
    this.#reader.push(bytes)
  }

  tick(nowMs: number): void {
    if (this.#end !== undefined) return
    this.#nowMs = nowMs
    if (this.#heartbeat.isSilent(nowMs)) this.#finish({ reason: 'silent' }, goAwayCode.normal)
    else this.#ping(this.#heartbeat.pingIfDue(nowMs))
  }

  /**
   * The next frame to send: header, then payload; valid until the next call.
   * @param payloadBytesMax room that the transport has for its payload; ≥1
   */
  nextFrame(nowMs: number, payloadBytesMax = Infinity): OutgoingFrame | undefined {
    this.#nowMs = nowMs
    // What writers do in here is seen by this loop's next turn.
    this.#toldSendable = true
    const frame = this.#queue.next(payloadBytesMax)
    if (frame === undefined) {
      this.#toldSendable = false
      return undefined
    }
    this.counters.framesSent += 1
    this.counters.bytesSent += frame.payload?.length ?? 0
    return frame
  }

  open(handler: StreamHandler): MuxStream | OpenRefusal {
    if (this.#end !== undefined) return 'ended'
    if (this.#peerGoes || this.#refusesFromMs !== Infinity) return 'going-away'
    if (this.#unacknowledged >= this.#limits.unacknowledgedMax) return 'backlog'
    if (this.#nextId > 0xffff_ffff) return 'ids-used-up'
    const stream = this.#createStream(this.#nextId, false)
    stream.handler = handler
    this.#nextId += 2
    this.#unacknowledged += 1
    this.counters.streamsOpened += 1
    this.#queue.begin(stream.flow, frameFlag.syn)
    this.#tellSendable()
    return stream
  }

  /** No new streams of ours, and after `goAwayGraceMs` none of the peer's; those that there are go on. */
  goAway(nowMs: number): void {
    if (this.#end !== undefined || this.#refusesFromMs !== Infinity) return
    this.#refusesFromMs = nowMs + this.#limits.goAwayGraceMs
    this.#control(frameType.goAway, 0, 0, goAwayCode.normal)
  }

  /** Ends the session now; all its streams are reset. */
  close(detail: string): void {
    this.#finish({ reason: 'closed', detail }, goAwayCode.normal)
  }

  #frame(header: Readonly<FrameHeader>): void {
    this.counters.framesReceived += 1
    switch (header.type) {
      case frameType.data:
      case frameType.windowUpdate: this.#streamFrame(header); break
      case frameType.ping:
        if ((header.flags & frameFlag.ack) !== 0) this.#heartbeat.answered(header.length, this.#nowMs)
        else if (this.#allows('pings')) this.#control(frameType.ping, frameFlag.ack, 0, header.length)
        break
      case frameType.goAway:
        if (header.length !== goAwayCode.normal) this.#finish({ reason: 'peer-error', code: header.length }, goAwayCode.normal)
        else if (!this.#peerGoes) {
          this.#peerGoes = true
          this.#handler.goingAway()
        }
        break
      default: throw new Error('bug: the reader knows the types')
    }
  }

  #streamFrame({ type, flags, streamId, length }: Readonly<FrameHeader>): void {
    const isData = type === frameType.data
    this.#receiving = undefined
    this.#payloadLeft = isData ? length : 0
    this.#finBehindPayload = false
    if (streamId === 0) {
      this.#protocolError('a stream 0')
      return
    }
    if (!isData && !this.#allows('updates')) return
    if (length === 0 && flags === 0 && !this.#allows('empty')) return
    const stream = (flags & frameFlag.syn) === 0 ? this.#streams.get(streamId) : this.#accept(streamId)
    if (this.#end !== undefined) return
    if (stream === undefined) {
      this.#strayFrame(streamId, flags, this.#payloadLeft)
      return
    }
    if ((flags & frameFlag.ack) !== 0) this.#acknowledged(stream)
    if ((flags & frameFlag.rst) !== 0) {
      if (this.#allows('resets')) this.#lose(stream)
      this.#stray(this.#payloadLeft)
      return
    }
    if (!isData) this.#credit(stream, length)
    else if (length > 0 && stream.remoteFinished) {
      this.#resetByFault(stream)
      this.#stray(length)
      return
    } else if (!stream.window.received(length)) {
      this.#protocolError(`stream ${streamId}: ${length} bytes over a window of ${stream.window.creditBytes}`)
      return
    }
    this.#receiving = stream
    this.#finBehindPayload = (flags & frameFlag.fin) !== 0
    if (this.#payloadLeft === 0) this.#payloadEnds()
  }

  #payload(bytes: Uint8Array): void {
    const stream = this.#receiving
    this.#payloadLeft -= bytes.length
    this.counters.bytesReceived += bytes.length
    if (stream !== undefined && !stream.closed) stream.handler?.data(bytes)
    if (this.#payloadLeft === 0) this.#payloadEnds()
  }

  #payloadEnds(): void {
    const stream = this.#receiving
    this.#receiving = undefined
    if (stream === undefined || stream.closed || !this.#finBehindPayload || stream.remoteFinished) return
    stream.remoteFinished = true
    stream.handler?.finished()
    this.#closeIfDone(stream)
  }

  /** A stream that the peer opens. */
  #accept(streamId: number): MuxStream | undefined {
    if (streamId % 2 === this.#parity || this.#streams.has(streamId)) {
      this.#protocolError(`stream ${streamId} opened ${this.#streams.has(streamId) ? 'twice' : 'by the wrong side'}`)
      return undefined
    }
    if (!this.#allows('opens')) return undefined
    const stream = this.#nowMs >= this.#refusesFromMs || this.#peerSlots >= this.#limits.streamsMax ? undefined : this.#createStream(streamId, true)
    if (stream !== undefined) {
      this.#peerSlots += 1
      stream.handler = this.#handler.opened(stream)
      if (stream.handler !== undefined || stream.closed) {
        this.counters.streamsAccepted += 1
        if (!stream.closed) this.#queue.begin(stream.flow, frameFlag.ack)
        this.#tellSendable()
        return stream
      }
      this.#forget(stream)
    }
    this.counters.streamsRefused += 1
    this.#strayAllowed += initialWindowBytes
    if (this.#allows('resets')) this.#sendReset(streamId)
    return undefined
  }

  #createStream(id: number, openedByPeer: boolean): MuxStream {
    const flow = new Flow(id)
    const window = new ReceiveWindow({ budget: this.#budget, limitBytesMax: this.#limits.windowBytesMax, nowMs: this.#nowMs })
    const stream = new MuxStream({ id, openedByPeer, flow, window, owner: this.#owner })
    this.#streams.set(id, stream)
    return stream
  }

  #strayFrame(streamId: number, flags: number, payloadBytes: number): void {
    if (streamId % 2 === this.#parity && streamId >= this.#nextId) this.#protocolError(`stream ${streamId}, which was never opened`)
    else if ((flags & frameFlag.rst) === 0 || this.#allows('resets')) this.#stray(payloadBytes)
  }

  /** Payload for a stream that is gone: no more than was under way when it went. */
  #stray(bytes: number): void {
    if (this.#end !== undefined) return
    this.#strayAllowed -= bytes
    this.counters.strayBytes += bytes
    if (this.#strayAllowed < 0) this.#finish({ reason: 'flood', kind: 'stray' }, goAwayCode.protocolError)
  }

  #acknowledged(stream: MuxStream): void {
    if (stream.openedByPeer || stream.acknowledged) return
    stream.acknowledged = true
    this.#unacknowledged -= 1
  }

  #credit(stream: MuxStream, bytes: number): void {
    if (bytes === 0) return
    if (stream.flow.creditBytes + bytes > 0xffff_ffff) {
      this.#protocolError(`stream ${stream.id}: a window over 32 bits`)
      return
    }
    this.#queue.credit(stream.flow, bytes)
    this.#tellSendable()
  }

  #write(stream: MuxStream, bytes: Uint8Array): boolean {
    const { flow } = stream
    if (stream.closed || flow.finishing) return true
    this.#queue.write(flow, bytes)
    this.#tellSendable()
    if (flow.queuedBytes < this.#limits.sendHighWaterBytes) return true
    flow.paused = true
    return false
  }

  #finishStream(stream: MuxStream): void {
    if (stream.closed || stream.flow.finishing) return
    this.#queue.finish(stream.flow)
    this.#tellSendable()
  }

  #consumed(stream: MuxStream, bytes: number): void {
    if (stream.closed || stream.remoteFinished) return
    const delta = stream.window.consumed(bytes, { nowMs: this.#nowMs, rttMs: this.#heartbeat.pathRttMs })
    if (delta === 0) return
    this.#queue.returnCredit(stream.flow, delta)
    this.#ping(this.#heartbeat.sampleIfStale(this.#nowMs))
    this.#tellSendable()
  }

  #resetStream(stream: MuxStream): void {
    if (stream.closed) return
    this.counters.resetsSent += 1
    this.#strayAllowed += stream.remoteFinished ? 0 : stream.window.creditBytes
    this.#queue.reset(stream.flow)
    this.#forget(stream)
    this.#tellSendable()
  }

  /** Of the peer's making, so it counts as its own reset would. */
  #resetByFault(stream: MuxStream): void {
    if (!this.#allows('resets')) return
    this.#strayAllowed += initialWindowBytes
    this.#resetStream(stream)
    stream.handler?.reset()
  }

  #sendReset(streamId: number): void {
    this.counters.resetsSent += 1
    this.#control(frameType.windowUpdate, frameFlag.rst, streamId, 0)
  }

  /** Reset by the peer. */
  #lose(stream: MuxStream): void {
    this.counters.resetsReceived += 1
    this.#queue.abandon(stream.flow)
    this.#forget(stream)
    stream.handler?.reset()
  }

  #closeIfDone(stream: MuxStream | undefined): void {
    if (stream === undefined || stream.closed || !stream.remoteFinished || !stream.flow.finSent) return
    stream.flow.returnBytes = 0
    this.#forget(stream)
  }

  #forget(stream: MuxStream): void {
    stream.closed = true
    stream.window.close()
    this.#streams.delete(stream.id)
    if (!stream.openedByPeer) this.#acknowledged(stream)
    else if (!stream.held) this.#peerSlots -= 1
  }

  #allows(kind: FloodKind): boolean {
    if (this.#end !== undefined) return false
    if (this.#guard.allows(kind, this.#nowMs)) return true
    this.#finish({ reason: 'flood', kind }, goAwayCode.protocolError)
    return false
  }

  #protocolError(detail: string): void {
    this.#finish({ reason: 'protocol-error', detail }, goAwayCode.protocolError)
  }

  #ping(value: number | undefined): void {
    if (value !== undefined) this.#control(frameType.ping, frameFlag.syn, 0, value)
  }

  #control(type: number, flags: number, streamId: number, length: number): void {
    this.#queue.control({ type, flags, streamId, length })
    this.#tellSendable()
  }

  #finish(end: SessionEnd, code: number): void {
    if (this.#end !== undefined) return
    this.#end = end
    this.#reader.stop()
    this.#queue.clear()
    const streams = [...this.#streams.values()]
    for (const stream of streams) {
      this.#queue.abandon(stream.flow)
      this.#forget(stream)
    }
    this.#control(frameType.goAway, 0, 0, code)
    for (const stream of streams) stream.handler?.reset()
    this.#handler.ended(end)
  }

  #tellSendable(): void {
    if (this.#toldSendable) return
    this.#toldSendable = true
    this.#handler.sendable()
  }
}
