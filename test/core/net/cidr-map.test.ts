import fc from 'fast-check'
import { test } from 'tap'
import { CidrMap } from '../../../src/core/net/cidr-map.ts'
import { CidrSet, formatCidr, masked, parseCidr } from '../../../src/core/net/cidr.ts'
import { formatIpAddress } from '../../../src/core/net/ip-address.ts'

void test('the longest prefix comes first', (t) => {
  const map = new CidrMap<string>()
  for (const network of ['10.0.0.0/8', '10.244.0.0/16', '10.244.3.0/24', '2001:db8::/32']) map.set(network, network)
  t.same(map.containing('10.244.3.9'), ['10.244.3.0/24', '10.244.0.0/16', '10.0.0.0/8'])
  t.same(map.containing('::ffff:10.1.2.3'), ['10.0.0.0/8'])
  t.same(map.containing('2001:db8::1'), ['2001:db8::/32'])
  t.same(map.containing('192.0.2.1'), [])
  t.same(map.containing('node1'), [])
  t.end()
})

void test('what is deleted is gone, what has the same length stays', (t) => {
  const map = new CidrMap<number>()
  map.set('10.1.0.0/16', 1)
  map.set('10.2.0.0/16', 2)
  map.set('10.2.0.0/16', 3)
  map.delete('10.1.0.0/16')
  map.delete('10.9.0.0/16')
  t.equal(map.get('10.1.0.0/16'), undefined)
  t.equal(map.get('10.2.0.0/16'), 3)
  t.same(map.containing('10.1.0.1'), [])
  t.throws(() => map.set('10.2.0.1/16', 4), { code: 'INVALID_CIDR' })
  t.end()
})

const network = fc.record({ bytes: fc.uint8Array({ minLength: 4, maxLength: 4 }), prefixBits: fc.integer({ min: 0, max: 32 }) })
  .map(({ bytes, prefixBits }) => formatCidr({ network: { family: 4, bytes: masked(bytes, prefixBits) }, prefixBits }))

void test('it finds an address where a set of the same networks has it', (t) => {
  fc.assert(fc.property(fc.array(network, { maxLength: 20 }), fc.uint8Array({ minLength: 4, maxLength: 4 }), (networks, bytes) => {
    const map = new CidrMap<string>()
    for (const each of networks) map.set(each, each)
    const address = formatIpAddress({ family: 4, bytes })
    const found = map.containing(address)
    const lengths = found.map((each) => {
      const parsed = parseCidr(each)
      return parsed.kind === 'cidr' ? parsed.cidr.prefixBits : -1
    })
    return found.length > 0 === CidrSet.of(networks).contains(address)
      && found.every((each) => CidrSet.of([each]).contains(address))
      && lengths.every((bits, index) => index === 0 || bits < (lengths[index - 1] ?? 0))
  }))
  t.end()
})
