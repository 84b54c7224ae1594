// Retries are a share of first dials, whoever asks and however threads meet.

import fc from 'fast-check'
import { test } from 'tap'
import { createRetryCells, dialBegins, mayRetry, retryBudget, retryFigures } from '../../../src/core/limit/retry-budget.ts'

const second = 1_000_000_000n
/** Long after the start: a floor has its first one ready. */
const start = 5n * second

void test('a tenant has its reserve, then its share of what is dialled, and its floor', async (t) => {
  const cells = createRetryCells(2)
  const budget = retryBudget({ percent: 20, reserve: 3, floorPerSecond: 1 })
  const retries = (count: number, nowNs = start): number => Array.from({ length: count }, () => mayRetry(cells, 0, budget, nowNs)).filter(Boolean).length
  t.equal(retries(10), 4, 'three saved up, and the floor’s')
  for (let dial = 0; dial < 50; dial++) dialBegins(cells, 0, budget)
  t.equal(retries(10), 3, 'no more than the reserve is saved up')
  for (let dial = 0; dial < 5; dial++) dialBegins(cells, 0, budget)
  t.equal(retries(10), 1, 'a fifth of five')
  t.equal(retries(10, start + 10n * second), 1, 'and one for a second, however long it rested')
  t.ok(mayRetry(cells, 1, budget, start), 'another tenant has its own')
  t.same(retryFigures(cells), { retries: 10, retriesRefused: 31 })
})

void test('where every tenant’s endpoints fail at once, the process’s budget holds, and then its floor', async (t) => {
  const tenants = 1_000
  const cells = createRetryCells(tenants)
  const budget = retryBudget({ percent: 20, reserve: 500, floorPerSecond: 1 })
  let [dials, retries] = [0, 0]
  for (let round = 0; round < 10; round++) {
    for (let row = 0; row < tenants; row++) {
      dialBegins(cells, row, budget)
      dials += 1
      for (let attempt = 1; attempt < 3; attempt++) if (mayRetry(cells, row, budget, start + BigInt(round) * second)) retries += 1
    }
  }
  // 20,000 were asked for. The floor allows one at each of ten times that are a second apart.
  t.ok(retries <= 2_000 + dials / 5 + 10, `${retries} retries of ${dials} dials`)
  t.ok(retries >= dials / 5)
})

void test('what one tenant wastes, others do not lack', async () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 100 }), fc.array(fc.boolean(), { minLength: 1_000, maxLength: 5_000 }), (percent, turns) => {
    const cells = createRetryCells(2)
    const budget = retryBudget({ percent, reserve: 20, floorPerSecond: 1 })
    let [failing, failed] = [0, 0]
    for (const isFailing of turns) {
      dialBegins(cells, isFailing ? 0 : 1, budget)
      if (isFailing && mayRetry(cells, 0, budget, start)) failing += 1
      // Of the other's connections one in a hundred fails.
      if (!isFailing && failed++ % 100 === 0 && !mayRetry(cells, 1, budget, start)) return percent < 1
    }
    return failing <= 21 + (turns.length * percent) / 100
  }))
})
