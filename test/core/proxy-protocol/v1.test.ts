// PROXY protocol version 1, line by line (§2.1): what is taken, and what makes the connection end.

import { test } from 'tap'
import { ProxyHeaderReader, type ProxyHeaderProgress } from '../../../src/core/proxy-protocol/reader.ts'

interface Ends {
  readonly source: string
  readonly destination: string
}

const taken: readonly (readonly [line: string, ends: Ends | undefined])[] = [
  ['PROXY TCP4 192.168.0.1 192.168.0.11 56324 443', { source: '192.168.0.1 56324', destination: '192.168.0.11 443' }],
  ['PROXY TCP4 0.0.0.0 255.255.255.255 0 65535', { source: '0.0.0.0 0', destination: '255.255.255.255 65535' }],
  ['PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535', { source: '255.255.255.255 65535', destination: '255.255.255.255 65535' }],
  ['PROXY TCP6 2001:db8::1 2001:DB8:0:0::2 56324 6443', { source: '2001:db8::1 56324', destination: '2001:db8::2 6443' }],
  ['PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535',
    { source: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535', destination: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535' }],
  // A dual-stack proxy's IPv4 clients; dotted is how inet_ntop writes them.
  ['PROXY TCP6 ::ffff:c000:201 ::1 1 2', { source: '192.0.2.1 1', destination: '::1 2' }],
  ['PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2', { source: '192.0.2.1 1', destination: '::1 2' }],
  ['PROXY UNKNOWN', undefined],
  ['PROXY UNKNOWN ', undefined],
  ['PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535', undefined],
  ['PROXY UNKNOWN anything at all, \u00ff\u0000 too', undefined],
]

/** Each as it is sent: a missing or wrong end of line is a fault too. */
const refused: readonly (readonly [sent: string, detail: RegExp])[] = [
  // No header.
  ['GET / HTTP/1.1\r\n', /no PROXY protocol header/],
  ['\x16\x03\x01\x02\x00\x01', /no PROXY protocol header/],
  ['proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n', /no PROXY protocol header/],
  ['PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n', /no PROXY protocol header/],
  ['PROXY\r\n', /no PROXY protocol header/],
  [' PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n', /no PROXY protocol header/],
  // The protocol.
  ['PROXY \r\n', /not TCP4, TCP6 or UNKNOWN/],
  ['PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n', /not TCP4, TCP6 or UNKNOWN/],
  ['PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n', /not TCP4, TCP6 or UNKNOWN/],
  ['PROXY TCP 192.0.2.1 192.0.2.2 1 2\r\n', /not TCP4, TCP6 or UNKNOWN/],
  ['PROXY UNKNOWNS\r\n', /not TCP4, TCP6 or UNKNOWN/],
  // Fields, between which stands one space.
  ['PROXY TCP4\r\n', /2 fields/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n', /5 fields/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n', /7 fields/],
  ['PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n', /7 fields/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n', /7 fields/],
  // Addresses.
  ['PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n', /none of TCP4/],
  ['PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n', /none of TCP4/],
  ['PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n', /none of TCP4/],
  ['PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n', /none of TCP4/],
  ['PROXY TCP4 ::ffff:192.0.2.1 192.0.2.2 1 2\r\n', /none of TCP4/],
  ['PROXY TCP4 192.0.2.1 example.com 1 2\r\n', /none of TCP4/],
  ['PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n', /none of TCP6/],
  ['PROXY TCP6 2001:db8::1 192.0.2.2 1 2\r\n', /none of TCP6/],
  ['PROXY TCP6 2001:db8::1%eth0 2001:db8::2 1 2\r\n', /none of TCP6/],
  ['PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n', /none of TCP6/],
  ['PROXY TCP6 1::2::3 2001:db8::2 1 2\r\n', /none of TCP6/],
  // Ports.
  ['PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n', /none of TCP4/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n', /none of TCP4/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n', /none of TCP4/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n', /none of TCP4/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 0x2\r\n', /none of TCP4/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n', /none of TCP4/],
  // The end of the line: no lone CR or LF, and none further off than 107 bytes (CVE-2021-23351).
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n', /without a carriage return/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rGET', /without a line feed/],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n', /without a line feed/],
  ['PROXY UNKNOWN a\nb\r\n', /without a carriage return/],
  [`PROXY UNKNOWN ${'a'.repeat(93)}`, /no end of line in 107 bytes/],
  [`PROXY UNKNOWN ${'a'.repeat(92)}\r\n`, /no end of line in 107 bytes/],
]

const incomplete: readonly string[] = ['', 'P', 'PROXY', 'PROXY ', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r', `PROXY UNKNOWN ${'a'.repeat(92)}`]

function read(sent: string): ProxyHeaderProgress {
  return new ProxyHeaderReader().push(Buffer.from(sent, 'latin1'))
}

void test('a line tells both ends of the connection, or that they are unknown', async (t) => {
  for (const [line, ends] of taken) {
    const progress = read(`${line}\r\n\x16\x03\x01`)
    if (progress.kind !== 'complete') {
      t.fail(`${JSON.stringify(line)} is ${progress.kind}`)
      continue
    }
    const { version, command, source, destination, tlvs } = progress.header
    t.same({ version, command, tlvs }, { version: 1, command: 'proxy', tlvs: {} }, JSON.stringify(line))
    t.same(source && `${source.address} ${source.port}`, ends?.source, 'source')
    t.same(destination && `${destination.address} ${destination.port}`, ends?.destination, 'destination')
    t.equal(progress.consumedBytes, line.length + 2, 'the client\'s bytes are left')
  }
})

void test('a line of 107 bytes is the longest', async (t) => {
  const line = `PROXY UNKNOWN ${'a'.repeat(91)}\r\n`
  t.equal(line.length, 107)
  t.equal(read(line).kind, 'complete')
})

void test('any other line is refused', async (t) => {
  for (const [sent, detail] of refused) {
    const progress = read(sent)
    if (progress.kind === 'refused') t.match(progress.detail, detail, JSON.stringify(sent))
    else t.fail(`${JSON.stringify(sent)} is ${progress.kind}`)
  }
})

void test('a line without its end is waited for', async (t) => {
  for (const sent of incomplete) t.equal(read(sent).kind, 'incomplete', JSON.stringify(sent))
})
