// A packet may begin with bytes that were moved already. A receiver has to leave them out, and what gives the kernel lane's
// program its packets leaves that to the program.

import { test } from '../../../support/kernel-lane.ts'
import { buildClientHello } from '../../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../../support/config.ts'
import { startLinuxRelay } from '../../../support/linux-driver.ts'
import { SendingAgainClient } from '../../../support/sending-again.ts'
import { startEcho, until } from '../../../support/sockets.ts'

const hello = buildClientHello({ serverName: 'acme.example.test' })

for (const [what, oldBytes] of [['a few bytes', 3], ['more than one call of the program’s cuts off', 5_000]] as const) {
  void test(`${what} that come again before new ones are not moved again`, async (t) => {
    const echo = await startEcho(t)
    const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port)])], kernelLane: 'always' })
    const client = new SendingAgainClient(relay.port)
    t.teardown(() => client.close())
    client.send(hello)
    await client.read(hello.length)
    await until(() => relay.driver.counters().kernelLaneConnections === 1)
    const [first, second, third] = [Buffer.alloc(oldBytes + 100, 'first'), Buffer.from('second'), Buffer.from('third')]
    client.send(first)
    t.ok((await client.read(first.length)).equals(first))
    client.sendAgain(first.subarray(-oldBytes), second)
    t.equal((await client.read(second.length)).toString(), 'second')
    client.send(third)
    t.equal((await client.read(third.length)).toString(), 'third')
    const echoed = hello.length + first.length + second.length + third.length
    await until(() => relay.driver.counters().bytesFromUpstream === echoed)
    t.match(relay.driver.counters(), { bytesFromDownstream: echoed, kernelLaneConnections: 1, kernelLaneEntries: 1 })
    // Its counts are right, or it would be reset.
    await relay.driver.leaveKernelLane()
    await until(() => relay.driver.counters().kernelLaneEntries === 2)
    client.send(third)
    t.equal((await client.read(third.length)).toString(), 'third')
    t.same(relay.failures, [])
  })
}
