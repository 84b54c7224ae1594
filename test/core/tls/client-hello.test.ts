// What the ClientHello reader takes and what it refuses, case by case. Here each hello comes whole; client-hello-cuts.test.ts
// cuts them.

import { test } from 'tap'
import { ClientHelloReader, extensionBodyBytesMax, extensionsMax, helloBytesMax, type ClientHello, type HelloFault, type HelloProgress } from '../../../src/core/tls/client-hello.ts'
import { alpnProtocolsMax } from '../../../src/core/tls/hello-extensions.ts'
import { helloRecordsMax, recordBytesMax } from '../../../src/core/tls/record-header.ts'
import { readWholeHello } from '../../../src/core/tls/whole-hello.ts'
import { alpnBody, buildClientHello, buildHandshake, handshakeOf, recordsOf, serverNameBody, splitIntoRecords, uint16, vector, type HelloOptions } from './hello-builder.ts'

const serverName = 'acme.example.test'
const hello = buildClientHello({ serverName })
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')
const hexBytes = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

function read(bytes: Uint8Array): HelloProgress {
  return new ClientHelloReader().push(bytes)
}

/** A hello with one extension as given, right or wrong, behind the others. */
function withExtension(type: number, body: Uint8Array, options: HelloOptions = {}): Buffer {
  return buildClientHello({ ...options, extensions: [...options.extensions ?? [], { type, body }] })
}

/** A hello whose `removed` bytes at `offset` of the handshake message are others; the message's length is made right. */
function patched({ offset, removed, inserted }: { offset: number; removed: number; inserted: Uint8Array }): Buffer {
  const handshake = buildHandshake({ serverName })
  const body = Buffer.concat([handshake.subarray(4, offset), inserted, handshake.subarray(offset + removed)])
  return recordsOf(Buffer.concat([Buffer.from([1]), vector(3, body)]), recordBytesMax, 0x0301)
}

/** Where the fields of a hello with a session_id of 32 bytes stand in the handshake message. */
const at = { version: 4, sessionIdLength: 38, cipherSuitesLength: 71, compressionLength: 81, extensionsLength: 83, extensions: 85 } as const

const manyExtensions = (count: number): HelloOptions['extensions'] => Array.from({ length: count }, (_, index) => ({ type: 0x2000 + index, body: new Uint8Array() }))

interface Accepted {
  readonly bytes: Uint8Array
  readonly hello: Partial<ClientHello>
}

const accepted: Readonly<Record<string, Accepted>> = {
  'one record': { bytes: hello, hello: { serverName, alpnProtocols: [], supportedVersions: [0x0304, 0x0303], legacyVersion: 0x0303, encryptedClientHello: false } },
  'ALPN': { bytes: buildClientHello({ serverName, alpn: ['h2', 'http/1.1'] }), hello: { serverName, alpnProtocols: ['h2', 'http/1.1'] } },
  'ALPN of any bytes': { bytes: buildClientHello({ serverName, alpn: ['\u0000\u00ff'] }), hello: { serverName, alpnProtocols: ['\u0000\u00ff'] } },
  'as many ALPN protocols as are allowed': { bytes: buildClientHello({ serverName, alpn: Array.from({ length: alpnProtocolsMax }, () => 'h2') }), hello: { serverName } },
  'records cut inside the handshake header': { bytes: splitIntoRecords(hello, 2), hello: { serverName } },
  'records of one byte': { bytes: splitIntoRecords(hello, 1), hello: { serverName } },
  '2,000 bytes in records of one byte': { bytes: splitIntoRecords(buildClientHello({ serverName, paddingBytes: 1_850 }), 1), hello: { serverName } },
  'as many records as are allowed': { bytes: splitIntoRecords(helloOfBytes(helloRecordsMax), 1), hello: { serverName } },
  'the largest hello': { bytes: helloOfBytes(helloBytesMax + 4), hello: { serverName } },
  'record version 3.0, as RFC 7568 §3 has it': { bytes: buildClientHello({ serverName, recordVersion: 0x0300 }), hello: { serverName } },
  'record version 0x0301': { bytes: buildClientHello({ serverName, recordVersion: 0x0301 }), hello: { serverName } },
  'record version 0x0302': { bytes: buildClientHello({ serverName, recordVersion: 0x0302 }), hello: { serverName } },
  'record version 0x0303': { bytes: buildClientHello({ serverName, recordVersion: 0x0303 }), hello: { serverName } },
  'record version 0x0304': { bytes: buildClientHello({ serverName, recordVersion: 0x0304 }), hello: { serverName } },
  'record version 3.255': { bytes: buildClientHello({ serverName, recordVersion: 0x03ff }), hello: { serverName } },
  'TLS 1.0': { bytes: buildClientHello({ serverName, legacyVersion: 0x0301, supportedVersions: [] }), hello: { serverName, legacyVersion: 0x0301, supportedVersions: [] } },
  'no extensions': { bytes: buildClientHello({ withoutExtensions: true }), hello: { alpnProtocols: [], supportedVersions: [] } },
  'an empty extension block': { bytes: patched({ offset: at.extensionsLength, removed: 1_000, inserted: uint16(0) }), hello: { alpnProtocols: [], supportedVersions: [] } },
  'no server_name': { bytes: buildClientHello({ alpn: ['h2'] }), hello: { alpnProtocols: ['h2'] } },
  'no session_id': { bytes: buildClientHello({ serverName, sessionIdBytes: 0 }), hello: { serverName } },
  'GREASE': { bytes: buildClientHello({ serverName, grease: true }), hello: { serverName, supportedVersions: [0x2a2a, 0x0304, 0x0303] } },
  'encrypted_client_hello, real or GREASE': { bytes: buildClientHello({ serverName, encryptedClientHello: true }), hello: { serverName, encryptedClientHello: true } },
  'pre_shared_key as the last extension': { bytes: withExtension(41, Buffer.alloc(80), { serverName }), hello: { serverName } },
  'early data behind the hello': { bytes: Buffer.concat([hello, hexBytes('17 0303 0004 01020304')]), hello: { serverName } },
  'anything behind the hello, in its last record too': { bytes: recordsOf(Buffer.concat([handshakeOf(hello), bytesOf('GET /')]), recordBytesMax, 0x0301), hello: { serverName } },
  'a name in mixed case with a dot, as it is': { bytes: buildClientHello({ serverName: 'ACME.Example.test.' }), hello: { serverName: 'ACME.Example.test.' } },
  'a name that is no hostname, as it is': { bytes: buildClientHello({ serverName: 'a\u0000\r\n \u00ff' }), hello: { serverName: 'a\u0000\r\n \u00ff' } },
  'as many extensions as are allowed': { bytes: buildClientHello({ serverName, supportedVersions: [], extensions: manyExtensions(extensionsMax - 1) ?? [] }), hello: { serverName } },
  'a large extension that is not read': { bytes: withExtension(51, Buffer.alloc(8_000), { serverName }), hello: { serverName } },
}

function helloOfBytes(handshakeBytes: number): Buffer {
  const bytesBefore = buildHandshake({ serverName, paddingBytes: 0 }).length
  return buildClientHello({ serverName, paddingBytes: handshakeBytes - bytesBefore })
}

interface Refusal {
  readonly bytes: Uint8Array
  readonly fault: HelloFault
  readonly detail: RegExp
}

function malformed(bytes: Uint8Array, detail: RegExp): Refusal {
  return { bytes, fault: 'malformed', detail }
}

function tooLarge(bytes: Uint8Array, detail: RegExp): Refusal {
  return { bytes, fault: 'too-large', detail }
}

function notTls(bytes: Uint8Array, detail: RegExp): Refusal {
  return { bytes, fault: 'not-tls', detail }
}

/** The bytes end where it is known: nothing behind them is waited for. */
const refusals: Readonly<Record<string, Refusal>> = {
  'HTTP': notTls(bytesOf('G'), /first byte is 0x47/),
  'zeros': notTls(Buffer.alloc(1), /first byte is 0x00/),
  'an SSL 2.0 hello': notTls(hexBytes('80'), /0x80/),
  'an SSH banner': notTls(bytesOf('S'), /0x53/),
  'a PROXY header': notTls(bytesOf('P'), /0x50/),
  'an alert first': notTls(hexBytes('15'), /0x15/),
  'a record of major version 2': notTls(hexBytes('16 02'), /major version 2/),
  'a record over 2^14, at its length': tooLarge(hexBytes('16 0301 4001'), /16385 bytes; at most 16384/),
  'a record far over 2^14, at the first byte of its length': tooLarge(hexBytes('16 0301 41'), /over 16384/),
  'a record without content': malformed(hexBytes('16 0301 0000'), /without content/),
  'a record without content between fragments': malformed(Buffer.concat([recordsOf(bytesOf('\u0001'), 1, 0x0301), hexBytes('16 0301 0000')]), /without content/),
  'an alert between fragments': malformed(Buffer.concat([recordsOf(bytesOf('\u0001'), 1, 0x0301), hexBytes('15')]), /content type 21/),
  'application data between fragments': malformed(Buffer.concat([recordsOf(bytesOf('\u0001'), 1, 0x0301), hexBytes('17')]), /content type 23/),
  'a later record of major version 2': malformed(Buffer.concat([recordsOf(bytesOf('\u0001'), 1, 0x0301), hexBytes('16 02')]), /major version 2/),
  'one record too many': tooLarge(splitIntoRecords(helloOfBytes(helloRecordsMax + 1), 1).subarray(0, -1), /over 4096 records/),
  'a ServerHello': malformed(hexBytes('16 0301 0004 02'), /type 2 instead of a ClientHello/),
  'a hello over the limit, at its header': tooLarge(hexBytes('16 0301 4000 01 004001'), /16385 bytes; at most 16384/),
  'a hello of 16 MiB, at its header': tooLarge(hexBytes('16 0301 4000 01 ffffff'), /16777215 bytes/),
  'an empty hello': malformed(hexBytes('16 0301 0004 01 000000'), /empty hello/),
  'a hello that ends in its version': malformed(hexBytes('16 0301 0005 01 000001 03'), /ends before its legacy-version/),
  'a hello that ends in its random': malformed(hexBytes('16 0301 0006 01 000002 0303'), /random of 32 bytes/),
  'client version 2.0': malformed(buildClientHello({ serverName, legacyVersion: 0x0200 }), /client version 0x0200/),
  'a session_id over 32': malformed(buildClientHello({ serverName, sessionIdBytes: 33 }), /session_id of 33 bytes/),
  'an odd cipher length': malformed(buildClientHello({ serverName, cipherSuitesBytes: 3 }), /cipher_suites of 3 bytes/),
  'no ciphers': malformed(buildClientHello({ serverName, cipherSuitesBytes: 0 }), /cipher_suites of 0 bytes/),
  'ciphers longer than the hello': malformed(patched({ offset: at.cipherSuitesLength, removed: 2, inserted: uint16(4_000) }), /cipher_suites of 4000 bytes, but/),
  'no compression methods': malformed(patched({ offset: at.compressionLength, removed: 2, inserted: Buffer.from([0]) }), /no compression/),
  'compression methods longer than the hello': malformed(patched({ offset: at.compressionLength, removed: 1, inserted: Buffer.from([255]) }), /compression methods of 255 bytes, but/),
  'a session_id longer than the hello': malformed(patched({ offset: at.sessionIdLength, removed: 1_000, inserted: Buffer.from([32]) }), /session_id of 32 bytes, but the hello has only 0 more/),
  'an end behind the session_id': malformed(patched({ offset: at.cipherSuitesLength, removed: 1_000, inserted: Buffer.alloc(0) }), /ends before its cipher-suites-length/),
  'half an extensions length': malformed(patched({ offset: at.extensionsLength, removed: 1_000, inserted: Buffer.from([0]) }), /ends before its extensions-length/),
  'an extension block shorter than what follows': malformed(patched({ offset: at.extensionsLength, removed: 2, inserted: uint16(3) }), /extensions of 3 bytes, but/),
  'an extension block longer than what follows': malformed(patched({ offset: at.extensionsLength, removed: 2, inserted: uint16(3_000) }), /extensions of 3000 bytes, but/),
  'half an extension type': malformed(patched({ offset: at.extensionsLength, removed: 1_000, inserted: vector(2, Buffer.from([0])) }), /ends before its extension-type/),
  'an extension without length': malformed(patched({ offset: at.extensionsLength, removed: 1_000, inserted: vector(2, uint16(0)) }), /ends before its extension-length/),
  'an extension longer than the block': malformed(patched({ offset: at.extensionsLength, removed: 1_000, inserted: vector(2, hexBytes('0000 0005 00')) }), /extension 0 of 5 bytes, but the hello has only 1 more/),
  'two server_name extensions': malformed(withExtension(0, serverNameBody('globex.example.test'), { serverName }), /two extensions of type 0/),
  'two extensions of an unknown type': malformed(withExtension(0x1234, Buffer.alloc(0), { serverName, extensions: [{ type: 0x1234, body: new Uint8Array() }] }), /two extensions of type 4660/),
  'an extension behind pre_shared_key': malformed(withExtension(21, Buffer.alloc(0), { serverName, extensions: [{ type: 41, body: Buffer.alloc(80) }] }), /behind pre_shared_key/),
  'one extension too many': tooLarge(buildClientHello({ serverName, supportedVersions: [], extensions: manyExtensions(extensionsMax) ?? [] }), /over 128 extensions/),
  'two host_names': malformed(withExtension(0, serverNameBody('acme.example.test', 'globex.example.test')), /more than one server name/),
  'the same host_name twice': malformed(withExtension(0, serverNameBody(serverName, serverName)), /more than one server name/),
  'an empty name': malformed(withExtension(0, serverNameBody('')), /an empty server name/),
  'an empty server_name extension': malformed(withExtension(0, Buffer.alloc(0)), /extension 0 is empty/),
  'an empty server name list': malformed(withExtension(0, serverNameBody()), /server_name of 2 bytes/),
  'a name list longer than its extension': malformed(withExtension(0, hexBytes('0006 00 0001 61')), /list of 6 bytes in 4/),
  'a name list shorter than its extension': malformed(withExtension(0, hexBytes('0003 00 0001 61')), /list of 3 bytes in 4/),
  'a name longer than its list': malformed(withExtension(0, hexBytes('0004 00 0002 61')), /name of 2 bytes in 1/),
  'a name of an unknown type': malformed(withExtension(0, hexBytes('0004 01 0001 61')), /name of type 1/),
  'a server_name over the limit, at its length': tooLarge(buildClientHello({ serverName: 'a'.repeat(extensionBodyBytesMax) }).subarray(0, 5 + at.extensions + 4), /extension 0 has 2053 bytes; at most 2048/),
  'an ALPN list longer than its extension': malformed(withExtension(16, hexBytes('0004 02 6832')), /lengths of the ALPN list/),
  'an ALPN list shorter than its extension': malformed(withExtension(16, hexBytes('0002 02 6832')), /lengths of the ALPN list/),
  'an empty ALPN list': malformed(withExtension(16, alpnBody()), /lengths of the ALPN list/),
  'an empty ALPN protocol': malformed(withExtension(16, alpnBody('h2', '')), /empty ALPN protocol/),
  'an ALPN protocol longer than its list': malformed(withExtension(16, hexBytes('0003 03 6832')), /longer than its list/),
  'one ALPN protocol too many': tooLarge(withExtension(16, alpnBody(...Array.from({ length: alpnProtocolsMax + 1 }, () => 'h2'))), /over 64 ALPN/),
  'supported_versions of odd length': malformed(withExtension(43, hexBytes('03 030403'), { supportedVersions: [] }), /supported_versions/),
  'supported_versions that are empty': malformed(withExtension(43, hexBytes('00'), { supportedVersions: [] }), /supported_versions/),
  'supported_versions longer than the extension': malformed(withExtension(43, hexBytes('04 0304'), { supportedVersions: [] }), /supported_versions/),
}

for (const [what, { bytes, hello }] of Object.entries(accepted)) {
  void test(`accepted: ${what}`, async (t) => {
    const progress = read(bytes)
    t.match(progress, { kind: 'complete', hello })
    t.equal(progress.kind === 'complete' && progress.hello.serverName, hello.serverName, 'its name, or none')
    const whole = readWholeHello(bytes)
    if (whole !== undefined && progress.kind === 'complete') t.match(progress.hello, whole, 'read at once it is the same')
  })
}

for (const [what, { bytes, fault, detail }] of Object.entries(refusals)) {
  void test(`refused: ${what}`, async (t) => {
    t.match(read(bytes), { kind: 'refused', fault, detail })
    t.equal(readWholeHello(bytes), undefined, 'nor is it read at once')
  })
}

void test('a whole hello in one record is read at once; half of one, or one in two records, is not', async (t) => {
  const named = buildClientHello({ serverName, alpn: ['h2'], encryptedClientHello: true })
  t.same(readWholeHello(named), { serverName, encryptedClientHello: true })
  t.same(readWholeHello(Buffer.concat([named, bytesOf('more')])), { serverName, encryptedClientHello: true })
  t.same(readWholeHello(buildClientHello({})), { encryptedClientHello: false })
  for (let length = 0; length < named.length; length++) t.equal(readWholeHello(named.subarray(0, length)), undefined, `${length} bytes`)
  t.equal(readWholeHello(splitIntoRecords(named, named.length - 6)), undefined)
})

void test('a refusal comes with the byte that decides it', async (t) => {
  for (const what of ['HTTP', 'a record over 2^14, at its length', 'a record far over 2^14, at the first byte of its length', 'a record without content', 'an alert between fragments', 'one record too many', 'a hello over the limit, at its header', 'a server_name over the limit, at its length']) {
    t.equal(read(refusals[what]?.bytes.subarray(0, -1) ?? Buffer.alloc(0)).kind, 'incomplete', what)
  }
})

void test('half a hello is incomplete, and nothing is too', async (t) => {
  t.same(read(Buffer.alloc(0)), { kind: 'incomplete' })
  t.same(read(hello.subarray(0, -1)), { kind: 'incomplete' })
})

void test('the result stays, whatever is pushed afterwards', async (t) => {
  const complete = new ClientHelloReader()
  const result = complete.push(hello)
  t.equal(complete.push(bytesOf('GET / HTTP/1.1\r\n')), result)
  t.equal(complete.push(buildClientHello({ serverName: 'globex.example.test' })), result)
  const refused = new ClientHelloReader()
  const refusal = refused.push(bytesOf('GET'))
  t.equal(refused.push(hello), refusal)
})

void test('the hello does not change with the buffer it was read from', async (t) => {
  const buffer = Buffer.from(buildClientHello({ serverName, alpn: ['h2'] }))
  const reader = new ClientHelloReader()
  const half = buffer.length - 30
  reader.push(buffer.subarray(0, half))
  buffer.fill(0, 0, half)
  const progress = reader.push(buffer.subarray(half))
  buffer.fill(0)
  t.match(progress, { kind: 'complete', hello: { serverName, alpnProtocols: ['h2'] } })
})

void test('a refusal quotes none of the client\'s bytes', async (t) => {
  for (const { bytes } of Object.values(refusals)) {
    const progress = read(bytes)
    t.ok(progress.kind === 'refused' && /^[\x20-\x7e]+$/.test(progress.detail) && !progress.detail.includes('globex'), JSON.stringify(progress))
  }
})
