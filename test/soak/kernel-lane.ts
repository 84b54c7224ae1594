// Random connections through the kernel lane at `always`, told to leave it a hundred times a second, or as often as is said:
// each byte is checked.
// The reduced form of it is test/relay/linux/kernel-lane/flows.test.ts.
//
//   npm run test:lane -- [CONNECTIONS [SEED [MEAN-BYTES [RESETS [TOGETHER [LEAVE-MS]]]]]]      100,000 connections and 10^9 bytes by default
//   npm run test:lane -- 20000 1 40000 1 8 3                                                   bulk, each cut short: what found bytes that were doubled and lost

import { createActiveCells } from '../../src/core/balance/active-counts.ts'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { changeOf, endpoint, listener, listenerName, tenant } from '../support/config.ts'
import { createLinuxDriver } from '../support/linux-driver.ts'
import { differingCounts, FlowBackend, runRandomFlows } from '../support/random-flows.ts'
import { until } from '../support/sockets.ts'

const [connections = 100_000, seed = 1, meanBytes = 5_000, resetShare = 0.15, together = 100, leaveEveryMs = 10] = process.argv.slice(2).map(Number)
const tellEveryMs = 10_000

const records: ConnectionRecord[] = []
const failures: string[] = []
const driver = createLinuxDriver({
  connectionsMax: 4_000, workers: 2, active: createActiveCells(2), newConnectionId: () => 'soak',
  observer: { connectionEnded: (record) => void records.push(record), driverError: (error, context) => void failures.push(`${context}: ${error.message}`) },
}, { kernelLane: 'always' })
const backend = await FlowBackend.start()
await driver.publish(changeOf({ tenants: [tenant('acme', [endpoint(backend.port)])], listeners: [listener()] }))
const { port } = await driver.listen(listenerName, { address: '127.0.0.1', port: 0 }, { ipv6Only: false })
const leaving = setInterval(() => void driver.leaveKernelLane(), leaveEveryMs)
const telling = setInterval(() => process.stdout.write(`${records.length} connections\n`), tellEveryMs)
const result = await runRandomFlows({ relayPort: port, backend, seed, connections, together, meanBytes, resets: resetShare })
clearInterval(leaving)
clearInterval(telling)
if (result.faults.length === 0) await until(() => records.length === connections)
const { kernelLaneEntries, kernelLaneLeaves, kernelLaneConnections } = driver.counters()
const differing = result.faults.length === 0 ? differingCounts(records, result) : []
const { bytes, resets, faults } = result
process.stdout.write(`${JSON.stringify({ connections: records.length, bytes, resets, kernelLaneEntries, kernelLaneLeaves, kernelLaneConnections, faults, differing, failures }, undefined, 2)}\n`)
await driver.stop()
backend.close()
process.exitCode = faults.length + differing.length + failures.length > 0 ? 1 : 0
