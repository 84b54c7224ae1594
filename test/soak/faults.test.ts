import { test } from 'tap'
import { runFaults } from './faults/run.ts'

void test('with faults at random nothing leaks, and no byte is lost, doubled or out of order', { skip: process.platform !== 'linux' && 'what a process uses is read from /proc' }, async (t) => {
  const report = await runFaults({ seconds: 5, seed: 1, rate: 25, connectionsMax: 100, progress: (line) => t.comment(line) })
  t.same(report.violations, [])
  t.ok((report.verdicts.whole ?? 0) > 0)
  t.ok(report.faults['backend killed'] > 0)
  t.ok(report.faults.reload > 0)
})
