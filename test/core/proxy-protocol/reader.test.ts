// The reader as a stream's end sees it: any cut gives the same result, nothing makes it throw, what follows is left.

import fc from 'fast-check'
import { test } from 'tap'
import { encodeProxyHeader } from '../../../src/core/proxy-protocol/encode.ts'
import { proxyHeaderBytesMax } from '../../../src/core/proxy-protocol/header.ts'
import { ProxyHeaderReader, type ProxyHeaderProgress } from '../../../src/core/proxy-protocol/reader.ts'
import { header } from './header-arbitrary.ts'
import { buildV2, tlv } from './v2-header.ts'

interface Outcome {
  readonly progress: ProxyHeaderProgress
  /** Of the whole stream. */
  readonly consumedBytes: number | undefined
}

/** Pushes the stream in pieces that end at the cuts, until the reader has an answer. */
function readInPieces(stream: Uint8Array, cuts: readonly number[]): Outcome {
  const reader = new ProxyHeaderReader()
  const ends = [...cuts.map((cut) => cut % (stream.byteLength + 1)).sort((left, right) => left - right), stream.byteLength]
  let start = 0
  for (const end of ends) {
    const progress = reader.push(stream.subarray(start, end))
    if (progress.kind === 'complete') {
      const { consumedBytes, ...rest } = progress
      return { progress: { ...rest, consumedBytes: 0 }, consumedBytes: start + consumedBytes }
    }
    if (progress.kind === 'refused') return { progress, consumedBytes: undefined }
    start = end
  }
  return { progress: { kind: 'incomplete' }, consumedBytes: undefined }
}

function same(left: Outcome, right: Outcome): boolean {
  return fc.stringify(left) === fc.stringify(right)
}

/** A header that stands, or one with some bytes changed or its end missing, and bytes behind it. */
const stream = fc.tuple(
  header.map(encodeProxyHeader),
  fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { maxLength: 3 }),
  fc.oneof(fc.constant(Infinity), fc.nat(600)),
  fc.uint8Array({ maxLength: 50 }),
).map(([bytes, changes, truncateAt, behind]) => {
  const changed = Uint8Array.from(bytes)
  for (const [at, value] of changes) changed[at] = value
  return Buffer.concat([changed.subarray(0, truncateAt), behind])
})

void test('any cut gives the same result and takes the same bytes', async () => {
  fc.assert(fc.property(stream, fc.array(fc.nat(1_000), { maxLength: 10 }), (bytes, cuts) => same(readInPieces(bytes, cuts), readInPieces(bytes, []))), { numRuns: 1_000 })
})

void test('byte by byte is no different', async () => {
  fc.assert(fc.property(stream, (bytes) => same(readInPieces(bytes, [...bytes.keys()]), readInPieces(bytes, []))))
})

void test('no bytes make it throw, or wait for more than the longest header', async () => {
  const start = fc.constantFrom('', 'PROXY ', 'PROXY TCP4 ', 'PROXY TCP6 ', 'PROXY UNKNOWN ', '\r\n\r\n\0\r\nQUIT\n', '\r\n\r\n\0\r\nQUIT\n!', '\r\n\r\n\0\r\nQUIT\n!\x11', '\r\n\r\n\0\r\nQUIT\n!!\0')
  fc.assert(fc.property(start, fc.uint8Array({ maxLength: 400 }), (start, bytes) => {
    const reader = new ProxyHeaderReader()
    if (reader.push(Buffer.from(start, 'latin1')).kind === 'incomplete') reader.push(bytes)
    return reader.push(new Uint8Array(proxyHeaderBytesMax)).kind !== 'incomplete'
  }), { numRuns: 1_000 })
})

void test('what follows the header is the caller\'s, to the byte', async () => {
  fc.assert(fc.property(header.map(encodeProxyHeader), fc.uint8Array({ maxLength: 100 }), (bytes, behind) => {
    const progress = new ProxyHeaderReader().push(Buffer.concat([bytes, behind]))
    return progress.kind === 'complete' && progress.consumedBytes === bytes.byteLength
  }))
})

void test('consumedBytes counts in the last piece', async (t) => {
  const bytes = buildV2()
  const reader = new ProxyHeaderReader()
  t.same(reader.push(bytes.subarray(0, 20)), { kind: 'incomplete' })
  t.same(reader.push(new Uint8Array(0)), { kind: 'incomplete' })
  t.match(reader.push(Buffer.concat([bytes.subarray(20), Buffer.from('hello')])), { kind: 'complete', consumedBytes: bytes.byteLength - 20 })
})

void test('an answer stands, whatever is pushed after it', async (t) => {
  const refused = new ProxyHeaderReader()
  const fault = refused.push(Buffer.from('GET /'))
  t.equal(fault.kind, 'refused')
  t.equal(refused.push(buildV2()), fault)
  const complete = new ProxyHeaderReader()
  const answer = complete.push(buildV2())
  t.equal(answer.kind, 'complete')
  t.equal(complete.push(buildV2({ versionAndCommand: 0x20 })), answer)
})

void test('pieces that the caller overwrites do no harm, nor does it when the last one is overwritten', async (t) => {
  const bytes = buildV2({ tlvs: [tlv(0x02, 'acme.example.test'), tlv(0x05, 'an id'), tlv(0xe5, 'a ticket')] })
  const reader = new ProxyHeaderReader()
  const piece = new Uint8Array(10)
  let progress: ProxyHeaderProgress = { kind: 'incomplete' }
  for (let at = 0; at < bytes.byteLength; at += piece.byteLength) {
    piece.fill(0)
    piece.set(bytes.subarray(at, at + piece.byteLength))
    progress = reader.push(piece.subarray(0, Math.min(piece.byteLength, bytes.byteLength - at)))
  }
  piece.fill(0)
  const tlvs = { authority: 'acme.example.test', uniqueId: new TextEncoder().encode('an id'), ticket: new TextEncoder().encode('a ticket') }
  t.match(progress, { kind: 'complete', header: { source: { address: '192.0.2.7' }, tlvs } })
})
