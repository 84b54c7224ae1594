import fc from 'fast-check'
import { test } from 'tap'
import { formatIpAddress, ipAddressOf } from '../../../src/core/net/ip-address.ts'
import { sourceHash, SourceKey } from '../../../src/core/net/source-key.ts'

void test('addresses of one /64 are one client, and others are others', async (t) => {
  for (const [left, right, same] of [
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['2001:db8::1', '2001:db8::ffff:1:2:3', true],
    ['2001:db8::1', '2001:db8:0:1::1', false],
    ['2001:db8:0:0:1:2:3:4', '2001:db8::', true],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::', true],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:3::', false],
    ['::', '::1', true],
    ['::1', '1::', false],
    ['0:1::', '1::', false],
    ['1::', '0:0:0:1::', false],
  ] as const) {
    t.equal(sourceHash(left) === sourceHash(right), same, `${left} ${right}`)
    const [one, other] = [new SourceKey().setText(left), new SourceKey().setText(right)]
    t.equal(one.isIpv6 === other.isIpv6 && one.high === other.high && one.low === other.low, same, `${left} ${right}, exactly`)
  }
})

void test('the text of an address does not matter, only its first 64 bits', async () => {
  const bytes = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((half) => half.map((byte) => byte % 3 === 0 ? byte : 0))
  fc.assert(fc.property(bytes, bytes, bytes, (network, one, other) => {
    fc.pre(network.some((byte) => byte !== 0))
    const address = (host: Uint8Array): string => formatIpAddress(ipAddressOf(Uint8Array.from([...network, ...host])))
    return sourceHash(address(one)) === sourceHash(address(other))
  }))
})
