import { test } from 'tap'
import fc from 'fast-check'
import { latin1 } from '../../../src/core/tls/hello-extensions.ts'
import { nameBytesMax, NameCache, namesMax } from '../../../src/core/tls/name-cache.ts'

const encoder = new TextEncoder()

void test('any bytes are the text that they are without a cache, however often and in whatever order they come', async () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 40 }), fc.nat(8), (names, before) => {
    const cache = new NameCache()
    for (const name of [...names, ...names]) {
      const bytes = new Uint8Array(before + name.length + 3)
      bytes.set(name, before)
      const [start, end] = [before, before + name.length]
      if (cache.text(bytes, start, end) !== latin1(bytes, start, end)) return false
    }
    return true
  }))
})

void test('more names than it keeps are told apart', async (t) => {
  const cache = new NameCache()
  const names = Array.from({ length: 4 * namesMax }, (_, index) => encoder.encode(`tenant-${index}.example.test`))
  for (let round = 0; round < 2; round++) {
    for (const [index, bytes] of names.entries()) if (cache.text(bytes, 0, bytes.length) !== `tenant-${index}.example.test`) t.fail(`tenant-${index}`)
  }
  t.pass()
})

void test('a text that is too long for a name is not kept, and is the same', async (t) => {
  const cache = new NameCache()
  for (const byteLength of [nameBytesMax, nameBytesMax + 1]) {
    const bytes = new Uint8Array(byteLength).fill(0x61)
    for (let round = 0; round < 2; round++) t.equal(cache.text(bytes, 0, byteLength), 'a'.repeat(byteLength))
  }
})

void test('the empty name is the empty text', async (t) => {
  t.equal(new NameCache().text(new Uint8Array(0), 0, 0), '')
})
