import { test } from 'tap'
import { runSoak } from './soak.ts'

void test('reloads leave open connections alone, and no byte is lost, doubled or out of order', async (t) => {
  const report = await runSoak({
    idle: 300, echoing: 60, tenants: 500, reloads: 3, rounds: 2, echoBytesMax: 300_000, progress: (line) => t.comment(line),
  })
  t.same(report.failures, [])
  t.equal(report.idleAlive, 300)
  t.equal(report.echoed, 120)
  t.equal(report.snapshotVersion, 6)
  t.equal(report.openConnectionsAtEnd, 240)
})
