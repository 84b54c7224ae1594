// Frames of yamux (hashicorp/yamux, spec.md "Framing"): a header of 12 bytes, numbers in network order, and behind a data
// frame's header its payload.
//
//   version:8 = 0 │ type:8 │ flags:16 │ stream id:32 │ length:32
//
// `length`: data: bytes of payload · window update: bytes of credit · ping: an opaque value · go away: a code
//
// The reader takes bytes however they are cut, in constant time for each frame, and hands payload on as it comes: a frame
// is never put together, so its length costs no memory.

export const headerBytes = 12

export const frameType = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const

export const frameFlag = { syn: 1, ack: 2, fin: 4, rst: 8 } as const

export const goAwayCode = { normal: 0, protocolError: 1, internalError: 2 } as const

export interface FrameHeader {
  type: number
  /** A set of `frameFlag`. */
  flags: number
  streamId: number
  length: number
}

/** @param target gets `headerBytes` bytes from `at` on */
export function encodeHeader(target: Uint8Array, at: number, { type, flags, streamId, length }: Readonly<FrameHeader>): void {
  target[at] = 0
  target[at + 1] = type
  target[at + 2] = flags >>> 8
  target[at + 3] = flags
  writeUint32(target, at + 4, streamId)
  writeUint32(target, at + 8, length)
}

export interface FrameHandler {
  /** The header is the reader's own and is written over by the next one. A data frame's payload follows. */
  frame(header: Readonly<FrameHeader>): void
  /** A part of the last data frame's payload: a view of what was pushed, not empty. */
  payload(bytes: Uint8Array): void
  /** What follows can't be understood. */
  malformed(detail: string): void
}

export class FrameReader {
  readonly #handler: FrameHandler
  readonly #partial = new Uint8Array(headerBytes)
  readonly #header: FrameHeader = { type: 0, flags: 0, streamId: 0, length: 0 }
  #partialBytes = 0
  #payloadLeft = 0
  #stopped = false

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** Nothing more is handed on, whatever is pushed. */
  stop(): void {
    this.#stopped = true
  }

  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length && !this.#stopped) {
      if (this.#payloadLeft > 0) {
        const end = Math.min(bytes.length, at + this.#payloadLeft)
        this.#payloadLeft -= end - at
        this.#handler.payload(bytes.subarray(at, end))
        at = end
      } else if (this.#partialBytes === 0 && bytes.length - at >= headerBytes) {
        this.#read(bytes, at)
        at += headerBytes
      } else {
        this.#partial[this.#partialBytes++] = bytes[at++] ?? 0
        if (this.#partialBytes < headerBytes) continue
        this.#partialBytes = 0
        this.#read(this.#partial, 0)
      }
    }
  }

  #read(bytes: Uint8Array, at: number): void {
    const type = bytes[at + 1] ?? 0
    if (bytes[at] !== 0 || type > frameType.goAway) {
      this.#stopped = true
      this.#handler.malformed(bytes[at] === 0 ? `frame of type ${type}` : `version ${bytes[at]}`)
      return
    }
    const header = this.#header
    header.type = type
    header.flags = (bytes[at + 2] ?? 0) << 8 | (bytes[at + 3] ?? 0)
    header.streamId = readUint32(bytes, at + 4)
    header.length = readUint32(bytes, at + 8)
    this.#payloadLeft = type === frameType.data ? header.length : 0
    this.#handler.frame(header)
  }
}

function writeUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 24 | (bytes[at + 1] ?? 0) << 16 | (bytes[at + 2] ?? 0) << 8 | (bytes[at + 3] ?? 0)) >>> 0
}
