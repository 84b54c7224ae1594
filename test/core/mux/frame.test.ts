import fc from 'fast-check'
import { test } from 'tap'
import { encodeHeader, FrameReader, headerBytes, type FrameHeader } from '../../../src/core/mux/frame.ts'

interface Read {
  readonly headers: FrameHeader[]
  readonly payload: Buffer
  readonly malformed: string | undefined
}

function read(chunks: readonly Uint8Array[]): Read {
  const headers: FrameHeader[] = []
  const payload: Uint8Array[] = []
  let malformed: string | undefined
  const reader = new FrameReader({
    frame: (header) => headers.push({ ...header }),
    payload: (bytes) => payload.push(Buffer.from(bytes)),
    malformed: (detail) => {
      malformed = detail
    },
  })
  for (const chunk of chunks) reader.push(chunk)
  return { headers, payload: Buffer.concat(payload), malformed }
}

function encoded(header: FrameHeader): Buffer {
  const bytes = Buffer.alloc(headerBytes)
  encodeHeader(bytes, 0, header)
  return bytes
}

const frame = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).chain((payload) => fc.record({ flags: fc.nat(15), streamId: fc.nat(0xffff_ffff) }).map(({ flags, streamId }) => ({ header: { type: 0, flags, streamId, length: payload.length }, payload }))),
  fc.record({ type: fc.integer({ min: 1, max: 3 }), flags: fc.nat(0xffff), streamId: fc.nat(0xffff_ffff), length: fc.nat(0xffff_ffff) }).map((header) => ({ header, payload: new Uint8Array() })),
)

/** Cut at these places, in whatever order they are given. */
function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end))
}

void test('a header is laid out as the specification says', (t) => {
  t.equal(encoded({ type: 1, flags: 3, streamId: 0x01020304, length: 0xfffefdfc }).toString('hex'), '0001000301020304fffefdfc')
  t.end()
})

void test('frames that are written are read, however they are cut', (t) => {
  fc.assert(fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(500), { maxLength: 12 }), (frames, at) => {
    const wire = Buffer.concat(frames.flatMap(({ header, payload }) => [encoded(header), payload]))
    const { headers, payload, malformed } = read(cut(wire, at))
    t.same(headers, frames.map(({ header }) => header))
    t.ok(payload.equals(Buffer.concat(frames.map((each) => each.payload))))
    t.equal(malformed, undefined)
  }), { numRuns: 300 })
  t.end()
})

void test('any bytes are frames or malformed, and the same however they are cut', (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(200), { maxLength: 12 }), (bytes, at) => {
    const whole = read([bytes])
    const parts = read(cut(Buffer.from(bytes), at))
    return JSON.stringify(whole.headers) === JSON.stringify(parts.headers) && whole.payload.equals(parts.payload) && whole.malformed === parts.malformed
  }), { numRuns: 2_000 })
  t.end()
})

void test('nothing is read behind what is malformed', (t) => {
  const ping = encoded({ type: 2, flags: 1, streamId: 0, length: 7 })
  for (const [bytes, detail] of [[Buffer.from('01000000000000000000000000', 'hex'), 'version 1'], [Buffer.from('000400000000000000000000', 'hex'), 'frame of type 4']] as const) {
    t.same(read([ping, bytes.subarray(0, headerBytes), ping]), { headers: [{ type: 2, flags: 1, streamId: 0, length: 7 }], payload: Buffer.alloc(0), malformed: detail })
  }
  t.end()
})
