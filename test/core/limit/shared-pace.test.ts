import fc from 'fast-check'
import { test } from 'tap'
import { SharedPace } from '../../../src/core/limit/shared-pace.ts'

void test('no second sees more than the rate, wherever it begins', async () => {
  fc.assert(fc.property(fc.integer({ min: 2, max: 500 }), fc.array(fc.integer({ min: 0, max: 20_000_000 }), { minLength: 50, maxLength: 2_000 }), (ratePerSecond, gapsNs) => {
    const pace = new SharedPace({ ratePerSecond })
    const taken: bigint[] = []
    let nowNs = 5_000_000_000n
    for (const gapNs of gapsNs) {
      nowNs += BigInt(gapNs)
      // Three threads that ask at one time.
      for (let thread = 0; thread < 3; thread++) if (pace.take(nowNs)) taken.push(nowNs)
    }
    return taken.every((first, index) => {
      const next = taken[index + ratePerSecond]
      return next === undefined || next - first >= 1_000_000_000n
    })
  }))
})

void test('what comes evenly at nine tenths of the rate is let through', async (t) => {
  const pace = new SharedPace({ ratePerSecond: 100 })
  let taken = 0
  for (let at = 0; at < 900; at++) if (pace.take(BigInt(Math.ceil(at * 1_000_000_000 / 90)))) taken++
  t.equal(taken, 900)
})

void test('two paces on one cell are one', async (t) => {
  const cell = new BigInt64Array(new SharedArrayBuffer(8))
  const [one, other] = [new SharedPace({ ratePerSecond: 10, cell }), new SharedPace({ ratePerSecond: 10, cell })]
  t.same([one.take(1n), other.take(1n), one.take(1n)], [true, false, false])
})

void test('a rate of one a second', async (t) => {
  const pace = new SharedPace({ ratePerSecond: 1 })
  t.same([pace.take(10n), pace.take(500_000_000n), pace.take(1_000_000_010n)], [true, false, true])
})
