import fc from 'fast-check'
import { test } from 'tap'
import { LineBudget } from '../../src/observe/line-budget.ts'

const limits = { linesPerSecond: 10, linesBurst: 5 }
const asked = fc.array(fc.record({ kind: fc.constantFrom('a', 'b'), afterMs: fc.nat(300) }), { maxLength: 200 })

void test('each kind is bounded whenever it is asked, and every line is either written or counted', async () => {
  fc.assert(fc.property(asked, (asks) => {
    const budget = new LineBudget<string>(limits)
    const written: { kind: string; atMs: number }[] = []
    const told: Record<string, number> = {}
    let nowMs = 0
    for (const [index, { kind, afterMs }] of asks.entries()) {
      nowMs += afterMs
      if (budget.take(kind, nowMs)) written.push({ kind, atMs: nowMs })
      if (index % 7 !== 0) continue
      for (const [each, count] of Object.entries(budget.takeSuppressed() ?? {})) told[each] = (told[each] ?? 0) + count
    }
    for (const [each, count] of Object.entries(budget.takeSuppressed() ?? {})) told[each] = (told[each] ?? 0) + count
    for (const kind of ['a', 'b']) {
      const times = written.filter((line) => line.kind === kind).map(({ atMs }) => atMs)
      if (times.length + (told[kind] ?? 0) !== asks.filter((ask) => ask.kind === kind).length) throw new Error(`${kind}: a line is missing`)
      for (const [first, fromMs] of times.entries()) {
        for (const [last, toMs] of times.entries()) {
          const allowed = limits.linesBurst + ((toMs - fromMs) / 1_000) * limits.linesPerSecond
          if (last >= first && last - first + 1 > allowed + 1e-6) throw new Error(`${kind}: ${last - first + 1} lines in ${toMs - fromMs} ms`)
        }
      }
    }
    if (budget.suppressed !== Object.values(told).reduce((sum, count) => sum + count, 0)) throw new Error('the total differs')
  }))
})

void test('a flood of one kind takes nothing from another', async (t) => {
  const budget = new LineBudget<'flood' | 'rare'>(limits)
  for (let line = 0; line < 1_000; line++) budget.take('flood', 0)
  t.ok(budget.take('rare', 0))
  t.same(budget.takeSuppressed(), { flood: 995 })
  t.equal(budget.takeSuppressed(), undefined)
})
