// However a hello is cut, into segments or into records, the reader says the same; and no bytes make it throw.

import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { test } from 'tap'
import { ClientHelloReader, type HelloProgress } from '../../../src/core/tls/client-hello.ts'
import { readWholeHello } from '../../../src/core/tls/whole-hello.ts'
import { captureHello, dialWithNode } from './capture-hellos.ts'
import { buildClientHello, handshakeOf, recordsOf, splitIntoRecords } from './hello-builder.ts'
import { helloFixtureNames, helloFixtures, readHelloFixture } from './hello-fixtures.ts'
import { fuzzHellos } from './mutate.ts'
import { referenceParse } from './reference-parser.ts'

function readAll(pieces: Iterable<Uint8Array>): HelloProgress {
  const reader = new ClientHelloReader()
  let progress: HelloProgress = { kind: 'incomplete' }
  for (const piece of pieces) progress = reader.push(piece)
  return progress
}

function piecesOf(bytes: Uint8Array, pieceBytes: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.byteLength / pieceBytes) }, (_, index) => bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes))
}

for (const name of helloFixtureNames) {
  void test(`the hello of ${name} is read, cut at every byte and in records of any size`, async (t) => {
    const hello = readHelloFixture(name)
    const whole = readAll([hello])
    const { serverName, ...rest } = helloFixtures[name]
    t.match(whole, { kind: 'complete', hello: rest })
    t.equal(whole.kind === 'complete' && whole.hello.serverName, serverName)
    t.same({ serverName: undefined, ...readWholeHello(hello) }, { serverName, encryptedClientHello: rest.encryptedClientHello }, 'and at once')
    const wrongCuts = Array.from({ length: hello.length - 1 }, (_, index) => index + 1).filter((cut) => {
      const reader = new ClientHelloReader()
      const early = reader.push(hello.subarray(0, cut)).kind !== 'incomplete'
      return early || !isDeepStrictEqual(reader.push(hello.subarray(cut)), whole)
    })
    t.same(wrongCuts, [], 'incomplete before each cut, and the same behind it')
    for (const pieceBytes of [1, 2, 3, 7, 100, 536]) {
      t.strictSame(readAll(piecesOf(hello, pieceBytes)), whole, `segments of ${pieceBytes}`)
      const records = splitIntoRecords(hello, pieceBytes)
      t.strictSame(readAll([records]), whole, `records of ${pieceBytes}`)
      t.strictSame(readAll(piecesOf(records, 1)), whole, `records of ${pieceBytes}, byte by byte`)
    }
  })
}

void test('hellos with ML-KEM are larger than a segment, and route all the same', async (t) => {
  for (const name of ['go-mlkem', 'go-ech', 'node', 'kubectl'] as const) {
    const hello = readHelloFixture(name)
    t.ok(hello.length > 1_460, `${name} has ${hello.length} bytes`)
    t.match(readAll([hello.subarray(0, 1_460), hello.subarray(1_460)]), { kind: 'complete', hello: { serverName: helloFixtures[name].serverName } })
  }
})

void test('the hello of the Node.js at hand is read', async (t) => {
  t.match(readAll([await captureHello(dialWithNode)]), { kind: 'complete', hello: { serverName: 'acme.k8s.example.com', alpnProtocols: ['h2', 'http/1.1'] } })
})

const latin1 = (options: { minLength: number; maxLength: number }): fc.Arbitrary<string> =>
  fc.uint8Array(options).map((bytes) => Buffer.from(bytes).toString('latin1'))
const versions = fc.array(fc.nat(0xffff), { maxLength: 20 })

/** What a hello may contain: any name, any ALPN, further extensions of types that are not read. */
const hellos = fc.record({
  serverName: latin1({ minLength: 1, maxLength: 300 }),
  alpn: fc.array(latin1({ minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 10 }),
  supportedVersions: versions,
  legacyVersion: fc.integer({ min: 0x0300, max: 0x03ff }),
  recordVersion: fc.integer({ min: 0x0300, max: 0x03ff }),
  sessionIdBytes: fc.nat(32),
  cipherSuitesBytes: fc.integer({ min: 1, max: 100 }).map((suites) => 2 * suites),
  grease: fc.boolean(),
  encryptedClientHello: fc.boolean(),
  extensions: fc.uniqueArray(fc.record({ type: fc.integer({ min: 0x0100, max: 0x09ff }), body: fc.uint8Array({ maxLength: 200 }) }), { selector: ({ type }) => type, maxLength: 20 }),
}, { requiredKeys: [] })

/** Offsets at which bytes are cut, as fractions. */
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 })

function cutAt(bytes: Uint8Array, fractions: readonly number[]): Uint8Array[] {
  const offsets = [0, ...fractions.map((fraction) => Math.floor(fraction * bytes.byteLength)).sort((a, b) => a - b), bytes.byteLength]
  return offsets.slice(1).map((offset, index) => bytes.subarray(offsets[index], offset))
}

/** The fragments of a hello, each in a record of its own; none is empty, as no record may be. */
function inRecordsCutAt(hello: Uint8Array, fractions: readonly number[]): Buffer {
  return Buffer.concat(cutAt(handshakeOf(hello), fractions).filter((fragment) => fragment.byteLength > 0).map((fragment) => recordsOf(Buffer.from(fragment), 2 ** 14, 0x0303)))
}

void test('a hello comes out as it was made, however it is cut', async () => {
  fc.assert(fc.property(hellos, cuts, cuts, (options, recordCuts, segmentCuts) => {
    const progress = readAll(cutAt(inRecordsCutAt(buildClientHello(options), recordCuts), segmentCuts))
    if (progress.kind !== 'complete') return false
    const { hello } = progress
    const expectedVersions = [...(options.grease === true ? [0x2a2a] : []), ...(options.supportedVersions ?? [0x0304, 0x0303])]
    return hello.serverName === options.serverName
      && JSON.stringify(hello.alpnProtocols) === JSON.stringify(options.alpn ?? [])
      && JSON.stringify(hello.supportedVersions) === JSON.stringify(expectedVersions)
      && hello.legacyVersion === (options.legacyVersion ?? 0x0303)
      && hello.encryptedClientHello === (options.encryptedClientHello ?? false)
  }), { numRuns: 500 })
})

void test('no bytes make the reader throw, and no cut changes what it says', async () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 2_000 }),
    // Deeper: a record header, then a handshake header, then anything.
    fc.uint8Array({ minLength: 1, maxLength: 2_000 }).map((bytes) => recordsOf(Buffer.from(bytes), 100, 0x0301)),
    fc.uint8Array({ minLength: 1, maxLength: 2_000 }).map((bytes) => recordsOf(Buffer.concat([Buffer.from([1, 0, 4, 0, 3, 3]), bytes]), 100, 0x0301)),
  )
  fc.assert(fc.property(anything, cuts, (bytes, segmentCuts) => {
    const whole = readAll([bytes])
    const cut = readAll(cutAt(bytes, segmentCuts))
    const alone = readAll(piecesOf(bytes, 1))
    const reference = referenceParse(bytes)
    return JSON.stringify(whole) === JSON.stringify(cut) && JSON.stringify(whole) === JSON.stringify(alone) && whole.kind === reference.kind
  }), { numRuns: 500 })
})

void test('mutated hellos of real clients: no throw, no disagreement, no dial to a tenant that was not named', async (t) => {
  // The same program runs millions: node test/core/tls/mutate.ts
  const report = fuzzHellos({ count: 20_000, seed: 1 })
  t.equal(report.complete + report.refused + report.incomplete, 20_000)
  t.ok(report.complete > 1_000 && report.refused > 1_000 && report.incomplete > 100 && report.dialed > 1_000, 'they reach every end')
})
