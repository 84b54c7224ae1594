// What a session has to send, and in which order. The transport takes a frame whenever its socket has room, so what is not
// sent yet waits here, where it can still be overtaken.
//
//   control   pings, go-aways, resets; then each stream's SYN, ACK, credit, bare FIN
//   new       streams that had nothing to send a moment ago: an interactive exchange goes before bulk
//   old       streams that have used up their first quantum
//
// Streams share by deficit round robin, new ones first (FQ-CoDel's scheduler, RFC 8290 §4.2): one that empties its queue in
// the new list goes to the end of the old one, so that many small writes can't starve the bulky.
//
// FIN is a frame of its own, as hashicorp/yamux sends it. On a data frame it would be as good by the specification, but
// yamux 0.1.2 looks at the flags before it has read the payload, and tells a reader that waits of the end too early.

import { encodeHeader, frameFlag, frameType, headerBytes, type FrameHeader } from './frame.ts'
import { Fifo } from '../fifo.ts'
import type { MuxLimits } from './limits.ts'
import { initialWindowBytes } from './window.ts'

export interface OutgoingFrame {
  readonly header: Uint8Array
  readonly payload: Uint8Array | undefined
}

/** One stream's share of the queue. */
export class Flow {
  readonly streamId: number
  /** What the peer lets us send. */
  creditBytes = initialWindowBytes
  queuedBytes = 0
  /** It has been told to pause. */
  paused = false
  /** FIN follows what is queued. */
  finishing = false
  finSent = false
  /** Nothing but RST is sent any more. */
  isReset = false
  /** … nor that: it is sent, or the peer's own. */
  rstSent = false
  // The rest is the queue's.
  /** What is sent next. */
  chunk: Uint8Array | undefined
  /** … and behind it; most streams never have so much waiting. */
  more: Fifo<Uint8Array> | undefined
  chunkAt = 0
  /** Of the first frame: SYN or ACK. */
  openingFlag = 0
  returnBytes = 0
  deficitBytes = 0
  list: 'none' | 'new' | 'old' = 'none'
  inControl = false
  /** It left its list for want of credit, with bytes to send: bulk, and no newcomer when credit comes. */
  awaitsCredit = false

  constructor(streamId: number) {
    this.streamId = streamId
  }
}

export interface SendQueueParts {
  readonly limits: MuxLimits
  /** Its FIN has been taken by the transport. */
  readonly finSent: (flow: Flow) => void
  /** It was paused, and has room again. */
  readonly writable: (flow: Flow) => void
  /** The frame that `next` is about to give has the last of what was written in one piece. */
  readonly spent: (bytes: Uint8Array) => void
  /** The peer makes us answer, and does not read the answers. */
  readonly controlOverflow: () => void
}

export class SendQueue {
  readonly #parts: SendQueueParts
  readonly #limits: MuxLimits
  readonly #headerBytes = new Uint8Array(headerBytes)
  readonly #header: FrameHeader = { type: 0, flags: 0, streamId: 0, length: 0 }
  readonly #frame: OutgoingFrame & { payload: Uint8Array | undefined } = { header: this.#headerBytes, payload: undefined }
  /** Four numbers for each frame, as in `FrameHeader`. */
  readonly #control = new Fifo<number>()
  readonly #controlFlows = new Fifo<Flow>()
  readonly #new = new Fifo<Flow>()
  readonly #old = new Fifo<Flow>()
  #queuedBytes = 0

  constructor(parts: SendQueueParts) {
    this.#parts = parts
    this.#limits = parts.limits
  }

  /** Payload of all streams. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Of the session, or for a stream that is gone. */
  control({ type, flags, streamId, length }: Readonly<FrameHeader>): void {
    if (this.#control.length >= 4 * this.#limits.controlFramesMax) {
      this.#parts.controlOverflow()
      return
    }
    this.#control.push(type)
    this.#control.push(flags)
    this.#control.push(streamId)
    this.#control.push(length)
  }

  /** SYN or ACK, on the flow's first frame. */
  begin(flow: Flow, flag: number): void {
    flow.openingFlag = flag
    this.#wantControl(flow)
  }

  /** @param bytes must not change before they are sent */
  write(flow: Flow, bytes: Uint8Array): void {
    if (bytes.length === 0) return
    if (flow.chunk === undefined) flow.chunk = bytes
    else (flow.more ??= new Fifo()).push(bytes)
    flow.queuedBytes += bytes.length
    this.#queuedBytes += bytes.length
    this.#activate(flow)
  }

  finish(flow: Flow): void {
    flow.finishing = true
    if (flow.queuedBytes === 0) this.#wantControl(flow)
  }

  /** Credit for the peer. */
  returnCredit(flow: Flow, bytes: number): void {
    flow.returnBytes += bytes
    this.#wantControl(flow)
  }

  /** What it has queued is thrown away. */
  reset(flow: Flow): void {
    // The peer has never heard of it.
    if (flow.openingFlag === frameFlag.syn) {
      this.abandon(flow)
      return
    }
    this.#drop(flow)
    flow.isReset = true
    this.#wantControl(flow)
  }

  /** The stream is gone, and nothing of it is sent. */
  abandon(flow: Flow): void {
    this.#drop(flow)
    flow.isReset = true
    flow.openingFlag = 0
    flow.returnBytes = 0
    flow.rstSent = true
  }

  /** Credit from the peer. */
  credit(flow: Flow, bytes: number): void {
    flow.creditBytes += bytes
    this.#activate(flow)
  }

  /** Nothing that waits is sent. */
  clear(): void {
    this.#control.clear()
    for (const flows of [this.#controlFlows, this.#new, this.#old]) {
      for (let flow = flows.shift(); flow !== undefined; flow = flows.shift()) {
        this.#drop(flow)
        flow.list = 'none'
        flow.inControl = false
      }
    }
  }

  /**
   * The next frame; both parts are valid until the next call.
   * @param payloadBytesMax room that the transport has for it now
   */
  next(payloadBytesMax = Infinity): OutgoingFrame | undefined {
    this.#frame.payload = undefined
    if (this.#control.length > 0) {
      const header = this.#header
      header.type = this.#control.shift() ?? 0
      header.flags = this.#control.shift() ?? 0
      header.streamId = this.#control.shift() ?? 0
      header.length = this.#control.shift() ?? 0
      return this.#encoded()
    }
    return this.#nextOfControlFlows() ?? this.#nextOfData(payloadBytesMax)
  }

  #nextOfControlFlows(): OutgoingFrame | undefined {
    for (let flow = this.#controlFlows.shift(); flow !== undefined; flow = this.#controlFlows.shift()) {
      flow.inControl = false
      const fin = flow.finishing && !flow.finSent && flow.queuedBytes === 0
      // SYN and ACK ride on data that can go now.
      const rides = flow.queuedBytes > 0 && flow.creditBytes > 0 && flow.returnBytes === 0
      if (!flow.isReset && !fin && flow.returnBytes === 0 && (flow.openingFlag === 0 || rides)) continue
      if (flow.rstSent) continue
      const header = this.#header
      header.type = frameType.windowUpdate
      header.flags = flow.openingFlag | (flow.isReset ? frameFlag.rst : fin ? frameFlag.fin : 0)
      header.streamId = flow.streamId
      header.length = flow.isReset ? 0 : flow.returnBytes
      flow.openingFlag = 0
      flow.returnBytes = 0
      if (flow.isReset) flow.rstSent = true
      this.#encoded()
      if (fin) this.#finSent(flow)
      return this.#frame
    }
    return undefined
  }

  #nextOfData(payloadBytesMax: number): OutgoingFrame | undefined {
    for (;;) {
      const fromNew = this.#new.length > 0
      const list = fromNew ? this.#new : this.#old
      const flow = list.first()
      if (flow === undefined) return undefined
      if (flow.queuedBytes === 0 || flow.creditBytes === 0 || flow.isReset) {
        list.shift()
        flow.list = 'none'
        flow.awaitsCredit = flow.queuedBytes > 0
        if (fromNew && !flow.isReset && this.#old.length > 0 && flow.queuedBytes === 0) this.#enlist(flow, 'old')
        continue
      }
      if (flow.deficitBytes <= 0) {
        list.shift()
        flow.deficitBytes += this.#limits.sharedFrameBytesMax
        this.#enlist(flow, 'old')
        continue
      }
      return this.#data(flow, payloadBytesMax)
    }
  }

  #data(flow: Flow, payloadBytesMax: number): OutgoingFrame {
    const { chunk } = flow
    if (chunk === undefined) throw new Error('bug: bytes are counted that are not queued')
    const alone = this.#new.length + this.#old.length === 1
    const most = Math.min(payloadBytesMax, flow.creditBytes, alone ? this.#limits.frameBytesMax : this.#limits.sharedFrameBytesMax)
    const end = Math.min(chunk.length, flow.chunkAt + most)
    const payload = flow.chunkAt === 0 && end === chunk.length ? chunk : chunk.subarray(flow.chunkAt, end)
    flow.chunkAt = end
    if (end === chunk.length) {
      this.#parts.spent(chunk)
      flow.chunk = flow.more?.shift()
      flow.chunkAt = 0
    }
    const bytes = payload.length
    flow.queuedBytes -= bytes
    flow.creditBytes -= bytes
    flow.deficitBytes -= bytes
    this.#queuedBytes -= bytes
    const header = this.#header
    header.type = frameType.data
    header.flags = flow.openingFlag
    header.streamId = flow.streamId
    header.length = bytes
    flow.openingFlag = 0
    this.#frame.payload = payload
    this.#encoded()
    if (flow.finishing && flow.queuedBytes === 0) this.#wantControl(flow)
    else if (flow.paused && flow.queuedBytes <= this.#limits.sendLowWaterBytes) {
      flow.paused = false
      this.#parts.writable(flow)
    }
    return this.#frame
  }

  #encoded(): OutgoingFrame {
    encodeHeader(this.#headerBytes, 0, this.#header)
    return this.#frame
  }

  #finSent(flow: Flow): void {
    flow.finSent = true
    this.#parts.finSent(flow)
  }

  #wantControl(flow: Flow): void {
    if (flow.inControl) return
    flow.inControl = true
    this.#controlFlows.push(flow)
  }

  #activate(flow: Flow): void {
    if (flow.list !== 'none' || flow.queuedBytes === 0 || flow.creditBytes === 0) return
    if (!flow.awaitsCredit) flow.deficitBytes = this.#limits.sharedFrameBytesMax
    this.#enlist(flow, flow.awaitsCredit ? 'old' : 'new')
    flow.awaitsCredit = false
  }

  #enlist(flow: Flow, list: 'new' | 'old'): void {
    flow.list = list
    if (list === 'new') this.#new.push(flow)
    else this.#old.push(flow)
  }

  #drop(flow: Flow): void {
    this.#queuedBytes -= flow.queuedBytes
    flow.queuedBytes = 0
    flow.chunk = undefined
    flow.more = undefined
    flow.chunkAt = 0
  }
}
