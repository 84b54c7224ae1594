import fc from 'fast-check'
import { test } from 'tap'
import { stableHash } from '../../src/core/stable-hash.ts'

void test('a text has one hash, wherever it is asked for', async (t) => {
  t.same(['', 'a', 'acme', 'é\u{1F600}'].map(stableHash), [2872998_923, 444641_715, 2019603_394, 4159213_040])
})

void test('any text’s hash is a whole number of 32 bits', async () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => {
    const hash = stableHash(text)
    return Number.isInteger(hash) && hash >= 0 && hash < 2 ** 32
  }))
})

void test('names that differ by a number are spread evenly over few places and many', async (t) => {
  for (const places of [2, 3, 5, 4_096]) {
    const taken = new Map<number, number>()
    for (let index = 0; index < 100_000; index++) {
      const place = stableHash(`tenant-${index}.k8s.example.com`) % places
      taken.set(place, (taken.get(place) ?? 0) + 1)
    }
    t.equal(taken.size, places)
    t.ok(Math.max(...taken.values()) < 2.5 * 100_000 / places + 5, `${places} places`)
  }
})
