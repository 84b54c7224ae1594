import { test } from 'tap'
import fc from 'fast-check'
import { ipv4Text, textsMax } from '../../../src/core/net/ipv4-text.ts'

void test('an address is its four numbers, however often and in whatever order addresses come', async (t) => {
  for (const text of ['0.0.0.0', '255.255.255.255', '127.0.0.1', '0.0.0.1', '0.0.0.0']) t.equal(ipv4Text(Uint8Array.from(text.split('.').map(Number)), 0), text)
  fc.assert(fc.property(fc.array(fc.uint8Array({ minLength: 4, maxLength: 4 }), { maxLength: 40 }), fc.nat(5), (addresses, before) => {
    for (const address of [...addresses, ...addresses]) {
      const bytes = new Uint8Array(before + 6)
      bytes.set(address, before)
      if (ipv4Text(bytes, before) !== address.join('.')) return false
    }
    return true
  }))
})

void test('more addresses than it keeps are told apart', async (t) => {
  const bytes = new Uint8Array(4)
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < 4 * textsMax; number++) {
      bytes.set([10, number >> 16, (number >> 8) & 0xff, number & 0xff])
      if (ipv4Text(bytes, 0) !== `10.0.${number >> 8}.${number & 0xff}`) t.fail(String(number))
    }
  }
  t.pass()
})
