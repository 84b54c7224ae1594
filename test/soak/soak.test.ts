import { test } from 'tap'
import { drivers, runSoak } from './soak.ts'

for (const driver of drivers) {
  const skip = process.platform !== 'linux' && 'what a process uses is read from /proc'
  void test(`${driver} driver: reloads leave open connections alone, and no byte is lost, doubled or out of order`, { skip }, async (t) => {
    const report = await runSoak({
      driver, idle: 300, echoing: 60, tenants: 500, reloads: 3, rounds: 2, echoBytesMax: 300_000, progress: (line) => t.comment(line),
    })
    t.same(report.failures, [], `connections ended with ${JSON.stringify(report.reasons)}`)
    t.equal(report.idleAlive, 300)
    t.equal(report.echoed, 120)
    t.equal(report.snapshotVersion, 6)
    t.equal(report.openConnectionsAtEnd, 240)
    t.ok((report.reasons['completed'] ?? 0) > 0, 'the log says how they ended')
  })
}
