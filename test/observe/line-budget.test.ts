import fc from 'fast-check'
import { test } from 'tap'
import { LineBudget } from '../../src/observe/line-budget.ts'

const limits = { linesPerSecond: 10, linesBurst: 5 }
const asked = fc.array(fc.record({ kind: fc.constantFrom('a', 'b'), afterMs: fc.nat(300) }), { maxLength: 200 })

void test('each kind is bounded whenever it is asked', async () => {
  fc.assert(fc.property(asked, fc.constantFrom(1, 1 / 2, 1 / 8), (asks, share) => {
    const budget = new LineBudget<string>({ ...limits, share })
    const written: { kind: string; atMs: number }[] = []
    let nowMs = 0
    for (const { kind, afterMs } of asks) {
      nowMs += afterMs
      if (budget.take(kind, nowMs)) written.push({ kind, atMs: nowMs })
    }
    for (const kind of ['a', 'b']) {
      const times = written.filter((line) => line.kind === kind).map(({ atMs }) => atMs)
      if (times.length === 0 && asks.some((ask) => ask.kind === kind)) throw new Error(`${kind}: not even one line`)
      for (const [first, fromMs] of times.entries()) {
        for (const [last, toMs] of times.entries()) {
          const allowed = Math.max(1, limits.linesBurst * share) + ((toMs - fromMs) / 1_000) * limits.linesPerSecond * share
          if (last >= first && last - first + 1 > allowed + 1e-6) throw new Error(`${kind}: ${last - first + 1} lines in ${toMs - fromMs} ms`)
        }
      }
    }
  }))
})

void test('a flood of one kind takes nothing from another', async (t) => {
  const budget = new LineBudget<'flood' | 'rare'>(limits)
  for (let line = 0; line < 1_000; line++) budget.take('flood', 0)
  t.notOk(budget.take('flood', 0))
  t.ok(budget.take('rare', 0))
})
