import { test } from '../../support/linux-only.ts'
import fc from 'fast-check'
import { BlockPool, blockBytes } from '../../../src/relay/linux/block-pool.ts'

void test('each block keeps its own bytes, whatever is taken, extended and given back beside it', async () => {
  const lengths = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.constantFrom(blockBytes - 1, blockBytes))
  const step = fc.oneof(
    fc.tuple(fc.constant('take' as const), lengths),
    fc.tuple(fc.constant('append' as const), lengths),
    fc.tuple(fc.constant('release' as const), fc.nat()),
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const pool = new BlockPool()
    const lengthOf = new Map<number, number>()
    for (const [kind, value] of steps) {
      const blocks = Array.from(lengthOf.keys())
      const block = blocks[value % blocks.length]
      if (kind === 'take') {
        const taken = pool.take(new Uint8Array(value))
        if (lengthOf.has(taken)) return false
        lengthOf.set(taken, value)
      } else if (block !== undefined && kind === 'append') {
        const length = lengthOf.get(block) ?? 0
        const fits = length + value <= blockBytes
        if (pool.append(block, new Uint8Array(value)) !== fits) return false
        if (fits) lengthOf.set(block, length + value)
      } else if (block !== undefined) {
        pool.release(block)
        lengthOf.delete(block)
      }
      if (pool.used !== lengthOf.size) return false
      const ranges = Array.from(lengthOf, ([each, length]) => ({ from: pool.addressOf(each), to: pool.addressOf(each) + length, length, each })).toSorted((a, b) => a.from - b.from)
      if (ranges.some(({ from }, index) => index > 0 && from < (ranges[index - 1]?.to ?? 0))) return false
      if (ranges.some(({ each, length }) => pool.byteLengthOf(each) !== length)) return false
    }
    return true
  }), { numRuns: 50 })
})

void test('a block that is given back is the next one taken: there are only as many as were held at one time', async (t) => {
  const pool = new BlockPool()
  const addresses = new Set<number>()
  for (let round = 0; round < 100; round++) {
    const block = pool.take(Uint8Array.of(round))
    addresses.add(pool.addressOf(block))
    pool.release(block)
  }
  t.equal(addresses.size, 1)
  t.equal(pool.used, 0)
})
