// Bytes through connections that go into the kernel lane and come out of it all the time: each arrives, once, in order.

import { test } from '../../../support/kernel-lane.ts'
import { endpoint, tenant } from '../../../support/config.ts'
import { startLinuxRelay } from '../../../support/linux-driver.ts'
import { differingCounts, FlowBackend, runRandomFlows } from '../../../support/random-flows.ts'
import { until } from '../../../support/sockets.ts'

for (const kernelLane of ['off', 'always', 'auto'] as const) {
  void test(`random flows with the lane at ${kernelLane}: sizes, cuts, stalls, half-closes and resets`, async (t) => {
    const backend = await FlowBackend.start()
    t.teardown(() => backend.close())
    const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(backend.port)])], kernelLane })
    const connections = 600
    const leaving = setInterval(() => void relay.driver.leaveKernelLane(), 7)
    t.teardown(() => clearInterval(leaving))
    const result = await runRandomFlows({ relayPort: relay.port, backend, seed: 1, connections, together: 40, meanBytes: 40_000 })
    t.same(result.faults, [])
    if (result.faults.length > 0) return
    await until(() => relay.records.length === connections)
    t.same(differingCounts(relay.records, result), [])
    t.same(relay.failures, [])
    const { kernelLaneEntries = 0, kernelLaneLeaves, kernelLaneConnections } = relay.driver.counters()
    t.comment(JSON.stringify({ bytes: result.bytes, resets: result.resets, kernelLaneEntries, kernelLaneLeaves }))
    clearInterval(leaving)
    if (kernelLane === 'always') t.ok(kernelLaneEntries > connections, 'they went in, and again')
    t.equal(kernelLaneConnections, 0, 'and nobody is left in it')
  })
}
