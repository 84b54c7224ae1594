import { test } from '../../support/linux-only.ts'
import fc from 'fast-check'
import { ReadPlaces, readBytesMax, readsTogetherMax } from '../../../src/relay/linux/read-places.ts'

const slots = 100

void test('what a slot keeps stays as it was read until it is released, whoever else is read meanwhile', async () => {
  fc.assert(fc.property(fc.array(fc.record({ slot: fc.nat(slots - 1), byteLength: fc.integer({ min: 1, max: 64 }), ends: fc.boolean() }), { maxLength: 200 }), (reads) => {
    const places = new ReadPlaces(slots)
    const kept = new Map<number, { readonly bytes: Uint8Array; readonly expected: Uint8Array }>()
    for (const [index, { slot, byteLength, ends }] of reads.entries()) {
      // A batch of reads, of which the last one is the slot's.
      const batch = Array.from({ length: readsTogetherMax }, () => places.take())
      for (const place of batch) places.read(place, byteLength).fill(index)
      const place = batch.pop() ?? 0
      for (const other of batch) places.giveBack(other)
      const bytes = places.read(place, byteLength)
      if (places.keep(slot, place, bytes)) {
        if (kept.has(slot) || places.addressIfKept(slot, bytes) !== places.addressOf(place)) return false
        kept.set(slot, { bytes, expected: Uint8Array.from(bytes) })
      } else {
        if (places.addressIfKept(slot, bytes) !== 0) return false
        places.giveBack(place)
      }
      if (ends) {
        places.release(slot)
        kept.delete(slot)
      }
      for (const { bytes: its, expected } of kept.values()) if (!expected.every((byte, at) => its[at] === byte)) return false
    }
    return true
  }))
})

void test('a few slots keep theirs, and there is room for a batch of reads still', async (t) => {
  const places = new ReadPlaces(slots)
  let keeping = 0
  for (let slot = 0; slot < slots; slot++) {
    const place = places.take()
    if (places.keep(slot, place, places.read(place, readBytesMax))) keeping += 1
    else places.giveBack(place)
  }
  t.equal(keeping, 24)
  const batch = Array.from({ length: readsTogetherMax }, () => places.take())
  t.equal(new Set(batch).size, readsTogetherMax)
  for (const place of batch) places.giveBack(place)
  places.release(3)
  const place = places.take()
  t.ok(places.keep(99, place, places.read(place, 1)), 'another may keep what was released')
})

void test('a slot keeps one read, and other bytes are not where that is', async (t) => {
  const places = new ReadPlaces(slots)
  const [first, second] = [places.take(), places.take()]
  t.ok(places.keep(5, first, places.read(first, 10)))
  t.notOk(places.keep(5, second, places.read(second, 10)))
  t.equal(places.addressIfKept(5, new Uint8Array(10)), 0)
  t.equal(places.addressIfKept(6, new Uint8Array(10)), 0)
  places.release(5)
  places.release(5)
})
