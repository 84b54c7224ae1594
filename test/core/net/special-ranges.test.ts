import fc from 'fast-check'
import { test } from 'tap'
import { parseCidr, type Cidr } from '../../../src/core/net/cidr.ts'
import { formatIpAddress } from '../../../src/core/net/ip-address.ts'
import { isAllSpecial, isWithin, specialAddress, specialWithin } from '../../../src/core/net/special-ranges.ts'

function cidrOf(text: string): Cidr {
  const parsed = parseCidr(text)
  if (parsed.kind === 'invalid') throw new Error(parsed.detail)
  return parsed.cidr
}

const addresses: Readonly<Record<string, string | undefined>> = {
  '0.0.0.0': 'this network',
  '0.255.255.255': 'this network',
  '1.0.0.0': undefined,
  '126.255.255.255': undefined,
  '127.0.0.1': 'loopback',
  '127.255.255.255': 'loopback',
  '128.0.0.0': undefined,
  '169.253.255.255': undefined,
  '169.254.169.254': 'link-local',
  '169.255.0.0': undefined,
  '223.255.255.255': undefined,
  '224.0.0.1': 'multicast',
  '239.255.255.255': 'multicast',
  '240.0.0.1': undefined,
  '255.255.255.254': undefined,
  '255.255.255.255': 'broadcast',
  '10.0.0.1': undefined,
  '::': 'the unspecified address',
  '::1': 'loopback',
  '::2': undefined,
  'fe7f:ffff::1': undefined,
  'fe80::1': 'link-local',
  'febf::1': 'link-local',
  'fec0::1': undefined,
  'fd00::1': undefined,
  'ff02::1': 'multicast',
  '2001:db8::1': undefined,
  // An IPv4-mapped address is the IPv4 address.
  '::ffff:169.254.169.254': 'link-local',
  '::ffff:7f00:1': 'loopback',
  '::ffff:10.0.0.1': undefined,
  // Where clouds give out credentials outside of link-local.
  '168.63.129.16': 'a cloud’s metadata',
  '168.63.129.17': undefined,
  '100.100.100.200': 'a cloud’s metadata',
  'fd00:ec2::254': 'a cloud’s metadata',
  'fd00:ec2::253': undefined,
  // NAT64 leads to the IPv4 address.
  '64:ff9b::a9fe:a9fe': 'link-local',
  '64:ff9b::7f00:1': 'loopback',
  '64:ff9b::a00:1': undefined,
  'node1': undefined,
  '0xa9fea9fe': undefined,
}

void test('what is special, and where each range begins and ends', (t) => {
  for (const [address, what] of Object.entries(addresses)) t.equal(specialAddress(address), what, address)
  t.end()
})

const networks: readonly (readonly [network: string, within: string | undefined, isAll: boolean])[] = [
  ['0.0.0.0/0', 'this network', false],
  ['128.0.0.0/1', 'link-local', false],
  ['169.0.0.0/8', 'link-local', false],
  ['169.254.0.0/16', 'link-local', true],
  ['169.254.169.254/32', 'link-local', true],
  ['127.0.0.0/8', 'loopback', true],
  ['168.63.129.16/32', 'a cloud’s metadata', true],
  ['168.63.129.0/24', undefined, false],
  ['64:ff9b::/96', undefined, false],
  ['64:ff9b::a9fe:0/112', undefined, true],
  ['126.0.0.0/7', 'loopback', false],
  ['10.0.0.0/8', undefined, false],
  ['::/0', 'the unspecified address', false],
  // Two that are special, and nothing between them: still no single one.
  ['::/127', 'the unspecified address', false],
  ['fe80::/10', 'link-local', true],
  ['fe00::/9', undefined, false],
  ['fe80::/9', 'link-local', false],
  ['2001:db8::/32', undefined, false],
]

void test('a network that touches a special range, and one that lies in it', (t) => {
  for (const [network, within, isAll] of networks) {
    t.equal(specialWithin(cidrOf(network)), within, network)
    t.equal(isAllSpecial(cidrOf(network)), isAll, network)
  }
  t.end()
})

void test('one network in another: families are apart', (t) => {
  t.ok(isWithin(cidrOf('10.1.0.0/16'), cidrOf('10.0.0.0/8')))
  t.ok(isWithin(cidrOf('10.0.0.0/8'), cidrOf('10.0.0.0/8')))
  t.notOk(isWithin(cidrOf('10.0.0.0/8'), cidrOf('10.1.0.0/16')))
  t.notOk(isWithin(cidrOf('10.0.0.0/8'), cidrOf('11.0.0.0/8')))
  t.notOk(isWithin(cidrOf('10.0.0.0/8'), cidrOf('::/0')))
  t.notOk(isWithin(cidrOf('2001:db8::/32'), cidrOf('0.0.0.0/0')))
  t.ok(isWithin(cidrOf('10.0.0.4/30'), cidrOf('10.0.0.0/29')), 'a prefix that ends within a byte')
  t.notOk(isWithin(cidrOf('10.0.0.8/30'), cidrOf('10.0.0.0/29')))
  t.end()
})

const bytes = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.constantFrom(...['169.254.169.254', '127.0.0.1', 'fe80::1', '10.0.0.1'].map((text) => cidrOf(text).network.bytes)))

void test('an address is special where its network of one is, and then nothing around it is free of it', (t) => {
  fc.assert(fc.property(bytes, fc.integer({ min: 0, max: 128 }), (raw, bits) => {
    const address = formatIpAddress({ family: raw.length === 4 ? 4 : 6, bytes: raw })
    const alone = cidrOf(address)
    const prefixBits = bits % (alone.prefixBits + 1)
    const around: Cidr = { network: alone.network, prefixBits }
    const special = specialAddress(address)
    return isAllSpecial(alone) === (special !== undefined) && specialWithin(alone) === special
      && (special === undefined || specialWithin(around) !== undefined)
      && (!isAllSpecial(around) || special !== undefined)
  }), { numRuns: 1_000 })
  t.end()
})
