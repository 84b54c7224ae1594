import fc from 'fast-check'
import { test } from 'tap'
import { SeenTickets, seenTicketsCells } from '../../../src/core/tunnel/seen-tickets.ts'

const table = (): SeenTickets => new SeenTickets(new SharedArrayBuffer(8 * seenTicketsCells))

/** @param place where it is looked for first */
function mac(tag: number, place: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, tag)
  view.setUint32(8, place)
  return bytes
}

void test('a ticket is new once, until it is worthless', async (t) => {
  const seen = table()
  t.equal(seen.take(mac(1, 0), { nowSeconds: 100, untilSeconds: 161 }), 'new')
  t.equal(seen.take(mac(1, 0), { nowSeconds: 100, untilSeconds: 161 }), 'seen')
  t.equal(seen.take(mac(1, 0), { nowSeconds: 160, untilSeconds: 221 }), 'seen')
  t.equal(seen.take(mac(1, 0), { nowSeconds: 161, untilSeconds: 222 }), 'new', 'its time alone refuses it by then')
})

void test('one that lies behind another is found when that has become worthless', async (t) => {
  const seen = table()
  t.equal(seen.take(mac(1, 7), { nowSeconds: 100, untilSeconds: 110 }), 'new')
  t.equal(seen.take(mac(2, 7), { nowSeconds: 100, untilSeconds: 161 }), 'new')
  t.equal(seen.take(mac(2, 7), { nowSeconds: 120, untilSeconds: 181 }), 'seen')
})

void test('more than there is room for are not let through', async (t) => {
  const seen = table()
  const results = Array.from({ length: 20 }, (_, tag) => seen.take(mac(tag + 1, 3), { nowSeconds: 100, untilSeconds: 161 }))
  t.same([results.filter((each) => each === 'new').length, results.filter((each) => each === 'full').length], [16, 4])
})

void test('no ticket passes twice while it is good, whatever comes between', async () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 30 })), { maxLength: 60 }), fc.integer({ min: 0, max: 70_000 }), (uses, fromSeconds) => {
    const seen = table()
    const passedUntil = new Map<string, number>()
    let nowSeconds = fromSeconds
    return uses.every(([tag, place, gap]) => {
      nowSeconds += gap
      const key = `${tag} ${place}`
      const isGood = (passedUntil.get(key) ?? -1) > nowSeconds
      const result = seen.take(mac(tag, place), { nowSeconds, untilSeconds: nowSeconds + 61 })
      if (result === 'new') passedUntil.set(key, nowSeconds + 61)
      return result === 'new' ? !isGood : true
    })
  }), { numRuns: 60 })
})
