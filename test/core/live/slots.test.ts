// A slot is its item's as long as that is there.

import fc from 'fast-check'
import { test } from 'tap'
import { Slots } from '../../../src/core/live/slots.ts'

void test('whatever is added and removed, each keeps its slot, and no two have one', (t) => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.constant('add' as const), fc.nat({ max: 30 }))), (steps) => {
    const slots = new Slots<string>()
    const model = new Map<number, string>()
    for (const [index, step] of steps.entries()) {
      if (step === 'add') {
        const slot = slots.add(`item ${index}`)
        if (model.has(slot)) return false
        model.set(slot, `item ${index}`)
      } else {
        slots.remove(step)
        model.delete(step)
      }
    }
    const found = new Map(Array.from({ length: slots.used }, (_, slot) => [slot, slots.at(slot)] as const).filter(([, item]) => item !== undefined))
    return slots.used <= steps.length && found.size === model.size && [...model].every(([slot, item]) => found.get(slot) === item)
  }))
  t.equal(new Slots().at(3), undefined)
  t.end()
})
