// Headers that we send: byte for byte, read back by our own reader, and what can't be sent.

import fc from 'fast-check'
import { test } from 'tap'
import { encodeOwnHeader, encodeProxyHeader, ProxyHeaderError, type ProxyHeaderOptions } from '../../../src/core/proxy-protocol/encode.ts'
import { ProxyHeaderReader } from '../../../src/core/proxy-protocol/reader.ts'
import { header } from './header-arbitrary.ts'
import { buildV2, buildV2WithChecksum, tcp4Addresses, tcp6Addresses, tlv } from './v2-header.ts'

const ipv4 = { source: { address: '192.0.2.7', port: 40_000 }, destination: { address: '198.51.100.1', port: 6443 } }
const ipv6 = { source: { address: '2001:db8::7', port: 40_000 }, destination: { address: '2001:db8:1::1', port: 6443 } }
const uniqueId = Uint8Array.of(1, 2, 0xff)

const lines: readonly (readonly [ends: typeof ipv4, line: string])[] = [
  [ipv4, 'PROXY TCP4 192.0.2.7 198.51.100.1 40000 6443\r\n'],
  [ipv6, 'PROXY TCP6 2001:db8::7 2001:db8:1::1 40000 6443\r\n'],
  [{ source: { address: '::ffff:192.0.2.7', port: 0 }, destination: { address: '198.51.100.1', port: 65_535 } }, 'PROXY TCP4 192.0.2.7 198.51.100.1 0 65535\r\n'],
  // One family for both: §2.1 knows no dots in an IPv6 address.
  [{ source: ipv4.source, destination: ipv6.destination }, 'PROXY TCP6 ::ffff:c000:207 2001:db8:1::1 40000 6443\r\n'],
  [{ source: ipv6.source, destination: ipv4.destination }, 'PROXY TCP6 2001:db8::7 ::ffff:c633:6401 40000 6443\r\n'],
]

void test('version 1 is a line', async (t) => {
  for (const [ends, line] of lines) t.equal(Buffer.from(encodeProxyHeader({ version: 'v1', ...ends })).toString('latin1'), line)
})

const authorityTlv = tlv(0x02, 'acme.example.test')
const uniqueIdTlv = tlv(0x05, uniqueId)

const blocks: readonly (readonly [what: string, options: ProxyHeaderOptions, bytes: Uint8Array])[] = [
  ['IPv4', { version: 'v2', ...ipv4 }, buildV2({ addresses: tcp4Addresses })],
  ['IPv6', { version: 'v2', ...ipv6 }, buildV2({ familyAndProtocol: 0x21, addresses: tcp6Addresses })],
  ['IPv4 to IPv6', { version: 'v2', source: ipv4.source, destination: ipv6.destination },
    buildV2({ familyAndProtocol: 0x21, addresses: '00000000000000000000ffffc0000207 20010db8000100000000000000000001 9c40 192b' })],
  ['AUTHORITY', { version: 'v2', ...ipv4, authority: 'acme.example.test' }, buildV2({ tlvs: [authorityTlv] })],
  ['UNIQUE_ID', { version: 'v2', ...ipv4, uniqueId }, buildV2({ tlvs: [uniqueIdTlv] })],
  ['CRC32C', { version: 'v2', ...ipv4, crc32c: true }, buildV2WithChecksum({}, 0)],
  ['no CRC32C', { version: 'v2', ...ipv4, crc32c: false }, buildV2()],
  ['all of them', { version: 'v2', ...ipv4, authority: 'acme.example.test', uniqueId, crc32c: true }, buildV2WithChecksum({ tlvs: [authorityTlv, uniqueIdTlv] }, 2)],
]

void test('version 2 is a block, with the TLVs that are asked for', async (t) => {
  for (const [what, options, bytes] of blocks) t.equal(Buffer.from(encodeProxyHeader(options)).toString('hex'), Buffer.from(bytes).toString('hex'), what)
})

void test('the header of a connection of our own tells no address', async (t) => {
  for (const version of ['v1', 'v2'] as const) {
    const bytes = encodeOwnHeader(version)
    t.match(new ProxyHeaderReader().push(bytes), { kind: 'complete', header: { source: undefined, destination: undefined }, consumedBytes: bytes.byteLength }, version)
  }
})

void test('what is sent is what is read', async () => {
  fc.assert(fc.property(header, (options) => {
    const bytes = encodeProxyHeader(options)
    const progress = new ProxyHeaderReader().push(bytes)
    const { version, source, destination } = options
    const tlvs = {
      ...('authority' in options && { authority: options.authority }),
      ...('uniqueId' in options && { uniqueId: options.uniqueId }),
    }
    const expected = { kind: 'complete', header: { version: version === 'v1' ? 1 : 2, command: 'proxy', source, destination, tlvs }, consumedBytes: bytes.byteLength }
    return sorted(progress) === sorted(expected)
  }), { numRuns: 1_000 })
})

/** The same text for values that are equal, whatever the order of their keys. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === 'object' ? Object.fromEntries(Object.entries(inner).sort(([left], [right]) => left.localeCompare(right))) : inner)
}

const misuse: readonly (readonly [what: string, options: ProxyHeaderOptions])[] = [
  ['a hostname', { version: 'v1', ...ipv4, source: { address: 'example.test', port: 1 } }],
  ['a line in an address', { version: 'v1', ...ipv4, destination: { address: '192.0.2.1 1 1\r\n', port: 1 } }],
  ['an address with a zone', { version: 'v2', ...ipv6, source: { address: 'fe80::1%eth0', port: 1 } }],
  ['port 65536', { version: 'v2', ...ipv4, source: { address: '192.0.2.7', port: 65_536 } }],
  ['port -1', { version: 'v1', ...ipv4, source: { address: '192.0.2.7', port: -1 } }],
  ['port 1.5', { version: 'v1', ...ipv4, source: { address: '192.0.2.7', port: 1.5 } }],
  ['a unique id of 129 bytes', { version: 'v2', ...ipv4, uniqueId: new Uint8Array(129) }],
  ['a header over 16 KiB', { version: 'v2', ...ipv4, authority: 'a'.repeat(16_384) }],
  ['a TLV over 64 KiB', { version: 'v2', ...ipv4, authority: 'a'.repeat(65_537) }],
]

void test('what no receiver could read is not sent', async (t) => {
  for (const [what, options] of misuse) {
    t.throws(() => encodeProxyHeader(options), { name: 'Error', code: 'PROXY_HEADER' }, what)
  }
  t.throws(() => encodeProxyHeader({ version: 'v1', ...ipv4, source: { address: '', port: 1 } }), new ProxyHeaderError('"" is no IP address'))
})
