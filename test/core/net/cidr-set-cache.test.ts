import { test } from 'tap'
import { CidrSetCache } from '../../../src/core/net/cidr-set-cache.ts'

void test('equal lists share one set', async (t) => {
  const cache = new CidrSetCache()
  const set = cache.setOf(['10.0.0.0/8', '2001:db8::/32'])
  t.ok(set.contains('10.1.2.3'))
  t.equal(cache.setOf(['10.0.0.0/8', '2001:db8::/32']), set)
  t.not(cache.setOf(['10.0.0.0/8']), set)
  t.throws(() => cache.setOf(['nowhere']), { code: 'INVALID_CIDR' })
})

void test('it forgets before it has grown beyond measure', async (t) => {
  const cache = new CidrSetCache()
  const first = cache.setOf(['192.0.2.1/32'])
  const long = Array.from({ length: 256 }, (_, high) => Array.from({ length: 128 }, (_, low) => `10.${high}.${low}.0/24`))
  for (let round = 0; round < 10; round++) cache.setOf([`10.255.255.${round}/32`, ...long.flat()])
  const again = cache.setOf(['192.0.2.1/32'])
  t.not(again, first)
  t.ok(again.contains('192.0.2.1'))
})
