// IP addresses as text and bytes: tables from RFC 4291 and RFC 5952, and properties with Node's own parsers as the oracle.

import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { test } from 'tap'
import { canonicalAddress, formatIpAddress, ipAddressOf, parseIpAddress } from '../../../src/core/net/ip-address.ts'

const bytesOf = (byteLength: 4 | 16): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: byteLength, maxLength: byteLength })
/** Bytes with the runs of zeros that IPv6 shortens. */
const sparseBytes = fc.array(fc.constantFrom(0, 0, 0, 1, 0x0d, 0xff), { minLength: 16, maxLength: 16 }).map((bytes) => Uint8Array.from(bytes))
/** Texts that are nearly addresses, more often than chance would have it. */
const nearlyAddress = fc.array(fc.constantFrom('0', '1', '25', '255', '256', '.', ':', '::', 'f', 'ffff', 'g', '01', '%', '/', ' '), { maxLength: 16 }).map((parts) => parts.join(''))

const canonical: readonly (readonly [text: string, family: 4 | 6, canonical: string])[] = [
  ['0.0.0.0', 4, '0.0.0.0'],
  ['192.0.2.1', 4, '192.0.2.1'],
  ['255.255.255.255', 4, '255.255.255.255'],
  ['::', 6, '::'],
  ['::1', 6, '::1'],
  ['1::', 6, '1::'],
  ['2001:db8::1', 6, '2001:db8::1'],
  ['FE80::ABCD', 6, 'fe80::abcd'],
  ['2001:0db8:0000:0000:0000:0000:0000:0001', 6, '2001:db8::1'],
  // RFC 5952 §4.2.1: as short as possible. §4.2.2: not for one group. §4.2.3: the longest run, of equals the first.
  ['2001:db8:0:0:0:0:2:1', 6, '2001:db8::2:1'],
  ['2001:db8::1:1:1:1:1', 6, '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', 6, '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', 6, '2001:db8::1:0:0:1'],
  ['1:2:3:4:5:6:7::', 6, '1:2:3:4:5:6:7:0'],
  ['64:ff9b::192.0.2.33', 6, '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:192.0.2.33', 6, '1:2:3:4:5:6:c000:221'],
  // IPv4-mapped IPv6 is IPv4; IPv4-compatible (deprecated) and what merely looks alike is not.
  ['::ffff:192.0.2.1', 4, '192.0.2.1'],
  ['::FFFF:C000:0201', 4, '192.0.2.1'],
  ['0:0:0:0:0:ffff:192.0.2.1', 4, '192.0.2.1'],
  ['::192.0.2.1', 6, '::c000:201'],
  ['::ffff:0:192.0.2.1', 6, '::ffff:0:c000:201'],
  ['1::ffff:192.0.2.1', 6, '1::ffff:c000:201'],
]

const refused: readonly string[] = [
  '', ' ', 'localhost', '1', '1.2.3', '1.2.3.4.5', '1.2.3.', '.1.2.3', '1..2.3', '256.0.0.1', '1.2.3.1000',
  '01.2.3.4', '00.0.0.0', '1.2.3.04', '0x1.2.3.4', '1.2.3.4 ', ' 1.2.3.4', '1.2.3.4\n', '+1.2.3.4', '-1.2.3.4', '1e1.2.3.4', '١.2.3.4',
  '1.2.3.4/32', '1.2.3.4:80', '1.2.3.4%eth0', ':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::', '::1::', '1::2::3',
  ':1', '1:', ':1::2', '1::2:', '12345::', '::g', '::00001', '[::1]', '::1%lo', 'fe80::1%1', '::1/128',
  '::1.2.3', '::1.2.3.4.5', '::1.2.3.04', '::1.2.3.256', '1.2.3.4::', '::1.2.3.4:5', '1:2:3:4:5:6:7:1.2.3.4', '::ffff:1.2.3.4%eth0', '::ffff:01.2.3.4',
]

void test('an address is parsed and written in its one canonical form', async (t) => {
  for (const [text, family, expected] of canonical) {
    t.equal(parseIpAddress(text)?.family, family, `${text} is IPv${family}`)
    t.equal(canonicalAddress(text), expected, `${text} becomes ${expected}`)
  }
})

void test('what is no address, or two different ones to two programs, is refused', async (t) => {
  for (const text of refused) {
    t.equal(parseIpAddress(text), undefined, JSON.stringify(text))
    t.equal(canonicalAddress(text), undefined, JSON.stringify(text))
  }
})

void test('what is written is parsed back to the same bytes', async () => {
  fc.assert(fc.property(fc.oneof(bytesOf(4), bytesOf(16), sparseBytes), (bytes) => {
    const address = ipAddressOf(bytes)
    const parsed = parseIpAddress(formatIpAddress(address))
    return parsed !== undefined && parsed.family === address.family && Buffer.compare(parsed.bytes, address.bytes) === 0
  }))
})

void test('a canonical text stays as it is', async () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
    const once = canonicalAddress(text)
    return once !== undefined && canonicalAddress(once) === once
  }))
})

void test('IPv6 is shortened as URLs shorten it', async () => {
  fc.assert(fc.property(sparseBytes, (bytes) => {
    const text = formatIpAddress({ family: 6, bytes })
    return new URL(`http://[${text}]/`).hostname === `[${text}]`
  }))
})

void test('Node takes the same texts, zones apart', async () => {
  fc.assert(fc.property(fc.oneof(fc.string(), nearlyAddress, fc.ipV4Extended(), fc.ipV6()), (text) => {
    const isAddress = !text.includes('%') && (isIPv4(text) || isIPv6(text))
    return (parseIpAddress(text) !== undefined) === isAddress
  }), { numRuns: 5_000 })
})
