import fc from 'fast-check'
import { test } from 'tap'
import { NumberList } from '../../../src/relay/linux/number-list.ts'

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('push' as const), value: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) }) },
  fc.record({ kind: fc.constant('remove' as const), value: fc.nat() }),
  fc.record({ kind: fc.constant('clear' as const), value: fc.constant(0) }),
)

void test('it holds what an array would, whatever is added and removed', async () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 400, size: 'max' }), (steps) => {
    const list = new NumberList()
    let expected: number[] = []
    for (const { kind, value } of steps) {
      if (kind === 'push') {
        list.push(value)
        expected.push(value)
      } else if (kind === 'clear') {
        list.clear()
        expected = []
      } else if (expected.length > 0) {
        list.remove(value % expected.length)
        expected.splice(value % expected.length, 1)
      }
    }
    const held = Array.from({ length: list.length }, (_, index) => list.at(index))
    return held.join() === expected.join() && expected.every((value) => list.indexOf(value) === expected.indexOf(value))
  }))
})
