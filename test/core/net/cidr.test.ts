// Networks and sets of them: a table of what is written and what is wrong with it, and Node's BlockList as the oracle.

import { BlockList } from 'node:net'
import fc from 'fast-check'
import { test } from 'tap'
import { CidrSet, InvalidCidrError, parseCidr } from '../../../src/core/net/cidr.ts'
import { formatIpAddress, ipAddressOf } from '../../../src/core/net/ip-address.ts'

const valid: readonly (readonly [text: string, network: string, prefixBits: number])[] = [
  ['0.0.0.0/0', '0.0.0.0', 0],
  ['10.0.0.0/8', '10.0.0.0', 8],
  ['192.0.2.128/25', '192.0.2.128', 25],
  ['192.0.2.1/32', '192.0.2.1', 32],
  ['192.0.2.1', '192.0.2.1', 32],
  ['::/0', '::', 0],
  ['2001:db8::/32', '2001:db8::', 32],
  ['2001:db8:8000::/33', '2001:db8:8000::', 33],
  ['::1/128', '::1', 128],
  ['2001:DB8:0::1', '2001:db8::1', 128],
  // IPv4-mapped: the network of IPv4 addresses that it is.
  ['::ffff:10.0.0.0/104', '10.0.0.0', 8],
  ['::ffff:0:0/96', '0.0.0.0', 0],
  ['::ffff:192.0.2.1', '192.0.2.1', 32],
]

const invalid: readonly (readonly [text: string, detail: RegExp])[] = [
  ['', /"" is no IP address/],
  ['10.0.0.0.0/8', /"10\.0\.0\.0\.0" is no IP address/],
  ['10/8', /"10" is no IP address/],
  ['example.com/8', /is no IP address/],
  ['/8', /"" is no IP address/],
  ['10.0.0.0/', /"" is no prefix length/],
  ['10.0.0.0/08', /"08" is no prefix length/],
  ['10.0.0.0/+8', /is no prefix length/],
  ['10.0.0.0/8/8', /"8\/8" is no prefix length/],
  ['10.0.0.0/255.0.0.0', /is no prefix length/],
  ['10.0.0.0/33', /33 bits; an address has 32/],
  ['::/129', /129 bits; an address has 128/],
  ['10.0.0.1/8', /the network is 10\.0\.0\.0\/8$/],
  ['192.0.2.129/25', /the network is 192\.0\.2\.128\/25$/],
  ['1.0.0.0/0', /the network is 0\.0\.0\.0\/0$/],
  ['2001:db8::1/32', /the network is 2001:db8::\/32$/],
  ['2001:db8:c000::/33', /the network is 2001:db8:8000::\/33$/],
  ['::ffff:10.0.0.0/8', /at least 96/],
  ['::ffff:10.0.0.0/129', /an address has 128/],
]

void test('a network is parsed; a bare address is a network of one', async (t) => {
  for (const [text, network, prefixBits] of valid) {
    const parsed = parseCidr(text)
    if (parsed.kind === 'invalid') t.fail(`${text}: ${parsed.detail}`)
    else t.same([formatIpAddress(parsed.cidr.network), parsed.cidr.prefixBits], [network, prefixBits], text)
  }
})

void test('what is no network is refused, with what is wrong and what was meant', async (t) => {
  for (const [text, detail] of invalid) {
    const parsed = parseCidr(text)
    if (parsed.kind === 'invalid') t.match(parsed.detail, detail, JSON.stringify(text))
    else t.fail(`${JSON.stringify(text)} was taken`)
  }
  t.throws(() => CidrSet.of(['10.0.0.0/8', '10.0.0.1/8']), new InvalidCidrError('10.0.0.1/8: bits behind the prefix are set; the network is 10.0.0.0/8'))
})

void test('a set has the addresses of its networks and no others', async (t) => {
  const set = CidrSet.of(['10.0.0.0/8', '192.0.2.128/25', '203.0.113.7', '2001:db8:8000::/33', 'fd00::1'])
  for (const address of ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3', '192.0.2.128', '192.0.2.255', '203.0.113.7', '2001:db8:8000::', '2001:db8:FFFF:ffff::1', 'fd00:0::1']) {
    t.ok(set.contains(address), address)
  }
  for (const address of ['9.255.255.255', '11.0.0.0', '192.0.2.127', '203.0.113.6', '2001:db8:7fff:ffff::', '2001:db9::', 'fd00::', '::10.0.0.1']) {
    t.notOk(set.contains(address), address)
  }
})

void test('the whole of one family is nothing of the other', async (t) => {
  const ipv4 = CidrSet.of(['0.0.0.0/0'])
  t.ok(ipv4.contains('192.0.2.1'))
  t.ok(ipv4.contains('::ffff:192.0.2.1'))
  t.notOk(ipv4.contains('::1'))
  const ipv6 = CidrSet.of(['::/0'])
  t.ok(ipv6.contains('2001:db8::1'))
  t.notOk(ipv6.contains('192.0.2.1'))
  t.notOk(ipv6.contains('::ffff:192.0.2.1'), 'an IPv4 peer of a dual-stack listener')
})

void test('an empty set has nothing, and no set has what is no address', async (t) => {
  t.notOk(CidrSet.of([]).contains('0.0.0.0'))
  for (const text of ['', 'example.com', '10.0.0.1/32', '10.0.0.01', 'fe80::1%eth0']) {
    t.notOk(CidrSet.of(['0.0.0.0/0', '::/0']).contains(text), JSON.stringify(text))
  }
})

interface Network {
  readonly text: string
  readonly address: string
  readonly prefixBits: number
  readonly family: 'ipv4' | 'ipv6'
}

/** Few distinct bytes, so that networks meet and addresses hit them. */
function addressBytes(byteLength: 4 | 16): fc.Arbitrary<Uint8Array> {
  const byte = fc.constantFrom(0, 1, 10, 0x7f, 0x80, 0xff)
  return fc.array(byte, { minLength: byteLength, maxLength: byteLength }).map((bytes) => Uint8Array.from(bytes))
}

function network(byteLength: 4 | 16): fc.Arbitrary<Network> {
  return fc.tuple(addressBytes(byteLength), fc.nat(8 * byteLength)).map(([bytes, prefixBits]) => {
    const masked = bytes.map((byte, index) => byte & (0xff << (8 - Math.min(8, Math.max(0, prefixBits - 8 * index)))))
    const address = formatIpAddress({ family: byteLength === 4 ? 4 : 6, bytes: masked })
    return { text: `${address}/${prefixBits}`, address, prefixBits, family: byteLength === 4 ? 'ipv4' : 'ipv6' }
  })
}

void test('a set agrees with Node\'s BlockList', async () => {
  const networks = fc.array(fc.oneof(network(4), network(16)), { maxLength: 20 })
  const addresses = fc.array(fc.oneof(addressBytes(4), addressBytes(16)), { maxLength: 20 })
  fc.assert(fc.property(networks, addresses, (networks, addresses) => {
    const set = CidrSet.of(networks.map(({ text }) => text))
    // One for each family: a single one has every IPv4 address in ::/0, as a mapped one, and here a family is a world of its own.
    const oracles = { ipv4: new BlockList(), ipv6: new BlockList() }
    for (const { address, prefixBits, family } of networks) oracles[family].addSubnet(address, prefixBits, family)
    return addresses.every((bytes) => {
      const address = ipAddressOf(bytes)
      const text = formatIpAddress(address)
      const family = address.family === 4 ? 'ipv4' : 'ipv6'
      return set.contains(text) === oracles[family].check(text, family)
    })
  }))
})

void test('10,000 networks are as exact as one', async (t) => {
  const octets = Array.from({ length: 10_000 }, (_, index) => `${10 + Math.trunc(index / 5_000)}.${Math.trunc(index / 100) % 50}.${2 * (index % 100)}`)
  const set = CidrSet.of(octets.map((octet) => `${octet}.0/24`))
  t.ok(octets.every((octet) => set.contains(`${octet}.0`) && set.contains(`${octet}.255`)), 'each has its first and last address')
  t.notOk(octets.some((octet) => set.contains(octet.replace(/\d+$/, (even) => `${Number(even) + 1}.0`))), 'and none of those between')
})
