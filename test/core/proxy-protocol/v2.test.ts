// PROXY protocol version 2, field by field (§2.2): addresses, TLVs, and what makes the connection end.

import { test } from 'tap'
import { proxyHeaderBytesMax, type ProxyHeader } from '../../../src/core/proxy-protocol/header.ts'
import { ProxyHeaderReader, type ProxyHeaderProgress } from '../../../src/core/proxy-protocol/reader.ts'
import { buildV2, buildV2WithChecksum, tcp6Addresses, tlv, unixAddresses, type V2Header } from './v2-header.ts'

const type = { alpn: 0x01, authority: 0x02, crc32c: 0x03, noop: 0x04, uniqueId: 0x05, ssl: 0x20, netns: 0x30, custom: 0xe0 } as const
const sslSubType = { version: 0x21, commonName: 0x22, cipher: 0x23, signatureAlgorithm: 0x24, clientCertificate: 0x28 } as const

function read(bytes: Uint8Array): ProxyHeaderProgress {
  return new ProxyHeaderReader().push(bytes)
}

/** What a header says; throws where it says nothing. */
function headerOf(header: V2Header): ProxyHeader {
  const progress = read(buildV2(header))
  if (progress.kind !== 'complete') throw new Error(`${progress.kind}: ${'detail' in progress ? progress.detail : ''}`)
  return progress.header
}

function ssl(client: number, verify: string, ...subTlvs: Uint8Array[]): Uint8Array {
  return tlv(type.ssl, Buffer.concat([Buffer.from([client]), Buffer.from(verify, 'hex'), ...subTlvs]))
}

void test('a header tells both ends of a TCP connection', async (t) => {
  t.same(headerOf({}), {
    version: 2, command: 'proxy', tlvs: {},
    source: { address: '192.0.2.7', port: 40_000 }, destination: { address: '198.51.100.1', port: 6443 },
  })
  t.same(headerOf({ familyAndProtocol: 0x21, addresses: tcp6Addresses }), {
    version: 2, command: 'proxy', tlvs: {},
    source: { address: '2001:db8::7', port: 40_000 }, destination: { address: '2001:db8:1::1', port: 6443 },
  })
})

void test('an IPv4-mapped address is IPv4, so that rules for it hold', async (t) => {
  const addresses = '00000000000000000000ffffc0000207 20010db8000100000000000000000001 9c40 192b'
  t.same(headerOf({ familyAndProtocol: 0x21, addresses }).source, { address: '192.0.2.7', port: 40_000 })
})

const withoutAddresses: readonly (readonly [what: string, header: V2Header])[] = [
  ['AF_UNSPEC', { familyAndProtocol: 0x00, addresses: '' }],
  ['UDP over IPv4', { familyAndProtocol: 0x12 }],
  ['UDP over IPv6', { familyAndProtocol: 0x22, addresses: tcp6Addresses }],
  ['a UNIX stream', { familyAndProtocol: 0x31, addresses: unixAddresses }],
  ['a UNIX datagram', { familyAndProtocol: 0x32, addresses: unixAddresses }],
]

void test('what is no TCP connection falls back to the peer\'s own address', async (t) => {
  for (const [what, header] of withoutAddresses) {
    t.same(headerOf(header), { version: 2, command: 'proxy', tlvs: {} }, what)
    const tlvs = [tlv(type.authority, 'acme.example.test')]
    t.same(headerOf({ ...header, tlvs }).tlvs, { authority: 'acme.example.test' }, `${what}, with a TLV`)
  }
})

void test('LOCAL is the proxy itself: the rest of the header is skipped, whatever it says', async (t) => {
  for (const header of [
    { familyAndProtocol: 0x00, addresses: '' },
    { familyAndProtocol: 0x11 },
    { familyAndProtocol: 0xff, addresses: '01' },
    { familyAndProtocol: 0x11, addresses: '', tlvs: [tlv(type.crc32c, 'wrong')] },
    { addresses: 'ff'.repeat(300) },
  ]) {
    const bytes = buildV2({ ...header, versionAndCommand: 0x20 })
    t.same(read(bytes), { kind: 'complete', header: { version: 2, command: 'local', tlvs: {} }, consumedBytes: bytes.byteLength })
  }
})

const refused: readonly (readonly [what: string, header: V2Header, detail: RegExp])[] = [
  ['version 1', { versionAndCommand: 0x11 }, /version 1/],
  ['version 3', { versionAndCommand: 0x31 }, /version 3/],
  ['version 0, LOCAL', { versionAndCommand: 0x00 }, /version 0/],
  ['command 2', { versionAndCommand: 0x22 }, /command 2/],
  ['command 15', { versionAndCommand: 0x2f }, /command 15/],
  ['family 4', { familyAndProtocol: 0x41 }, /family 4/],
  ['family 15', { familyAndProtocol: 0xf1 }, /family 15/],
  ['protocol 3', { familyAndProtocol: 0x13 }, /transport protocol 3/],
  ['AF_UNSPEC with a protocol', { familyAndProtocol: 0x01, addresses: '' }, /family 0 with transport protocol 1/],
  ['AF_INET without one', { familyAndProtocol: 0x10 }, /family 1 with transport protocol 0/],
  // CVE-2019-14243: a block shorter than its family's addresses.
  ['an empty block for IPv4', { addresses: '' }, /address block of 0 bytes; its family has 12/],
  ['11 bytes for IPv4', { addresses: 'c0000207c63364019c4019' }, /11 bytes/],
  ['IPv4\'s block for IPv6', { familyAndProtocol: 0x21 }, /12 bytes; its family has 36/],
  ['35 bytes for IPv6', { familyAndProtocol: 0x21, addresses: tcp6Addresses.slice(0, -2) }, /35 bytes/],
  ['215 bytes for AF_UNIX', { familyAndProtocol: 0x31, addresses: unixAddresses.slice(0, -2) }, /215 bytes/],
  ['a length that lies', { length: 4 }, /4 bytes/],
  // TLVs.
  ['one byte behind the addresses', { tlvs: [Buffer.of(type.noop)] }, /TLV longer/],
  ['two bytes behind the addresses', { tlvs: [Buffer.of(type.noop, 0)] }, /TLV longer/],
  ['a value longer than the header', { tlvs: [Buffer.of(type.noop, 0, 1)] }, /TLV longer/],
  ['a value much longer', { tlvs: [Buffer.of(type.authority, 0xff, 0xff, 0x61)] }, /TLV longer/],
  ['a good TLV, then half of one', { tlvs: [tlv(type.alpn, 'h2'), Buffer.of(type.authority, 0, 2, 0x61)] }, /TLV longer/],
  ['half a TLV behind AF_UNSPEC', { familyAndProtocol: 0x00, addresses: '040002ff' }, /TLV longer/],
  ['a unique id of 129 bytes', { tlvs: [tlv(type.uniqueId, new Uint8Array(129))] }, /129 bytes; at most 128/],
  ['a wrong checksum', { tlvs: [tlv(type.crc32c, new Uint8Array(4))] }, /CRC32c is wrong/],
  ['a checksum of three bytes', { tlvs: [tlv(type.crc32c, new Uint8Array(3))] }, /CRC32c is wrong/],
  ['a checksum of five bytes', { tlvs: [tlv(type.crc32c, new Uint8Array(5))] }, /CRC32c is wrong/],
  ['an empty checksum', { tlvs: [tlv(type.crc32c, '')] }, /CRC32c is wrong/],
  ['two authorities', { tlvs: [tlv(type.authority, 'a.test'), tlv(type.authority, 'b.test')] }, /second TLV of type 2/],
  ['two unique ids', { tlvs: [tlv(type.uniqueId, 'a'), tlv(type.noop, ''), tlv(type.uniqueId, 'a')] }, /second TLV of type 5/],
  ['an SSL TLV of four bytes', { tlvs: [tlv(type.ssl, new Uint8Array(4))] }, /SSL TLV of 4 bytes/],
  ['half a TLV in the SSL TLV', { tlvs: [ssl(1, '00000000', Buffer.of(sslSubType.version, 0, 2, 0x61))] }, /TLV longer/],
  ['two common names', { tlvs: [ssl(7, '00000000', tlv(sslSubType.commonName, 'a'), tlv(sslSubType.commonName, 'b'))] }, /second TLV of type 34/],
]

void test('any other header is refused', async (t) => {
  for (const [what, header, detail] of refused) {
    const progress = read(buildV2(header))
    if (progress.kind === 'refused') t.match(progress.detail, detail, what)
    else t.fail(`${what} is ${progress.kind}`)
  }
})

void test('a signature with one wrong byte is refused at that byte', async (t) => {
  const bytes = buildV2()
  for (let at = 0; at < 12; at++) {
    const wrong = Uint8Array.from(bytes.subarray(0, at + 1))
    wrong[at] = (wrong[at] ?? 0) ^ 0x80
    t.same(read(wrong), { kind: 'refused', detail: 'no PROXY protocol header' }, `byte ${at}`)
  }
})

void test('a bad fixed part is refused before its body comes', async (t) => {
  t.match(read(buildV2({ versionAndCommand: 0x31, length: 200, addresses: '' })), { kind: 'refused' })
  t.match(read(buildV2({ familyAndProtocol: 0x41, length: 200, addresses: '' })), { kind: 'refused' })
  t.same(read(buildV2({ length: proxyHeaderBytesMax - 15, addresses: '' })), { kind: 'refused', detail: 'a header of 16385 bytes; at most 16384 are allowed' })
  t.match(read(buildV2({ versionAndCommand: 0x20, length: 0xffff, addresses: '' })), { kind: 'refused' }, 'LOCAL too')
})

void test('a header of the most bytes is taken', async (t) => {
  const filling = proxyHeaderBytesMax - 16 - 12 - 3
  const bytes = buildV2({ tlvs: [tlv(type.noop, new Uint8Array(filling))] })
  t.equal(bytes.byteLength, proxyHeaderBytesMax)
  t.match(read(bytes), { kind: 'complete', consumedBytes: proxyHeaderBytesMax })
})

void test('TLVs are read; NOOP and unknown ones are passed over', async (t) => {
  const uniqueId = Uint8Array.from({ length: 128 }, (_, index) => 255 - index)
  const { tlvs } = headerOf({
    tlvs: [
      tlv(type.noop, ''), tlv(type.custom, 'x'), tlv(type.alpn, 'h2'), tlv(type.noop, 'padding'), tlv(type.authority, 'acme.example.test'),
      tlv(type.uniqueId, uniqueId), tlv(type.netns, 'blue'), tlv(type.custom, 'y'), tlv(0xff, ''),
    ],
  })
  t.same({ ...tlvs, uniqueId: [...tlvs.uniqueId ?? []] }, { alpn: 'h2', authority: 'acme.example.test', uniqueId: [...uniqueId], netns: 'blue' })
})

void test('a unique id is a copy: who keeps it keeps no whole header', async (t) => {
  const { uniqueId } = headerOf({ tlvs: [tlv(type.uniqueId, 'id')] }).tlvs
  t.equal(uniqueId?.buffer.byteLength, 2)
})

void test('what is no UTF-8 becomes U+FFFD; control characters stay, for the log to escape', async (t) => {
  for (const [bytes, expected] of [
    [[0x61, 0xff, 0x62], 'a\ufffdb'],
    [[0xc3, 0x28], '\ufffd('],
    [[0xe2, 0x82], '\ufffd'],
    [[0xed, 0xa0, 0x80], '\ufffd\ufffd\ufffd'],
    [[0xc3, 0xbc], '\u00fc'],
    [[0xef, 0xbb, 0xbf, 0x61], '\ufeffa'],
    [[0x61, 0x00, 0x0d, 0x0a, 0x1b], 'a\0\r\n\x1b'],
    [[], ''],
  ] as const) {
    t.equal(headerOf({ tlvs: [tlv(type.authority, Uint8Array.from(bytes))] }).tlvs.authority, expected, JSON.stringify(expected))
  }
})

void test('the TLS connection that the proxy has ended is told', async (t) => {
  const texts = [
    tlv(sslSubType.version, 'TLSv1.3'), tlv(sslSubType.signatureAlgorithm, 'RSA-SHA256'), tlv(sslSubType.cipher, 'TLS_AES_256_GCM_SHA384'),
    tlv(sslSubType.commonName, 'kube-admin'), tlv(sslSubType.clientCertificate, new Uint8Array(2_000)),
  ]
  t.same(headerOf({ tlvs: [ssl(0x07, '00000000', ...texts)] }).tlvs.ssl, {
    clientSsl: true, clientCertificate: true, verified: true, version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', commonName: 'kube-admin',
  })
  for (const [client, verify, expected] of [
    [0x00, '00000000', { clientSsl: false, clientCertificate: false, verified: false }],
    [0x01, '00000000', { clientSsl: true, clientCertificate: false, verified: false }],
    [0x01, '00000001', { clientSsl: true, clientCertificate: false, verified: false }],
    [0x03, '00000000', { clientSsl: true, clientCertificate: true, verified: true }],
    [0x05, '00000000', { clientSsl: true, clientCertificate: true, verified: true }],
    [0x03, '00000014', { clientSsl: true, clientCertificate: true, verified: false }],
    [0x03, '01000000', { clientSsl: true, clientCertificate: true, verified: false }],
  ] as const) {
    t.same(headerOf({ tlvs: [ssl(client, verify)] }).tlvs.ssl, expected, `client ${client}, verify ${verify}`)
  }
})

void test('a checksum counts wherever it stands, and no bit of the header may differ', async (t) => {
  const tlvs = [tlv(type.authority, 'acme.example.test'), tlv(type.uniqueId, 'id')]
  for (const at of [0, 1, 2]) t.equal(read(buildV2WithChecksum({ tlvs }, at)).kind, 'complete', `${at} TLVs before it`)
  t.match(read(buildV2WithChecksum({ tlvs }, 0, 5)), { kind: 'refused', detail: 'the CRC32c is wrong' }, 'a fifth byte')
  const bytes = buildV2WithChecksum({ tlvs }, 0)
  for (let bit = 16 * 8; bit < bytes.byteLength * 8; bit++) {
    const wrong = Uint8Array.from(bytes)
    wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const progress = read(wrong)
    // What makes the checksum a TLV of another type takes it away.
    const checksumTypeByte = 16 + 12
    if (bit >> 3 !== checksumTypeByte && progress.kind !== 'refused') t.fail(`bit ${bit}: ${progress.kind}`)
  }
})
