import { test } from 'tap'
import { ratioToBest, summarise } from '../../bench/statistics.ts'

void test('summarise gives median and spread', async (t) => {
  const cases: [number[], { median: number, min: number, max: number } | undefined][] = [
    [[], undefined],
    [[3], { median: 3, min: 3, max: 3 }],
    [[9, 1], { median: 5, min: 1, max: 9 }],
    [[30, 100, 20], { median: 30, min: 20, max: 100 }],
    [[4, 1, 3, 2], { median: 2.5, min: 1, max: 4 }],
  ]
  for (const [values, expected] of cases) {
    t.same(summarise(values), expected === undefined ? undefined : { ...expected, count: values.length }, JSON.stringify(values))
  }
})

void test('summarise leaves the values in their order', async (t) => {
  const values = [3, 1, 2]
  summarise(values)
  t.same(values, [3, 1, 2])
})

void test('ratioToBest compares within a run', async (t) => {
  // The machine was half as fast in run 2; the ratio is the same.
  const own = [{ run: 1, value: 80 }, { run: 2, value: 40 }]
  const rivals = [{ run: 1, value: 100 }, { run: 1, value: 60 }, { run: 2, value: 50 }, { run: 2, value: 30 }]
  t.equal(ratioToBest(own, rivals, 'more'), 0.8)
  t.equal(ratioToBest(own, rivals, 'less'), 80 / 60)
})

void test('ratioToBest has no answer without a rival in the same run', async (t) => {
  t.equal(ratioToBest([{ run: 1, value: 1 }], [], 'more'), undefined)
  t.equal(ratioToBest([{ run: 1, value: 1 }], [{ run: 2, value: 1 }], 'more'), undefined)
  t.equal(ratioToBest([{ run: 1, value: 1 }], [{ run: 1, value: 0 }], 'less'), undefined, 'nor to nothing')
})
