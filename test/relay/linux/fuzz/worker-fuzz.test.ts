import { test } from '../../../support/linux-only.ts'
import { Random } from '../../../soak/faults/random.ts'
import { fuzzRound, type FuzzTotals } from './worker-fuzz.ts'

void test('whatever clients and API servers do, no byte is lost or doubled, and nothing is left over', async (t) => {
  const totals: FuzzTotals = { rounds: 0, connections: 0, bytes: 0, reasons: {} }
  for (let round = 0; round < 6; round++) t.doesNotThrow(() => fuzzRound(new Random(26, round), 'off', totals), `round ${round}`)
  t.ok(totals.connections > 100)
})
