import { test } from '../../support/linux-only.ts'
import { MessageChannel } from 'node:worker_threads'
import { createActiveCells } from '../../../src/core/balance/active-counts.ts'
import type { ConnectionRecord } from '../../../src/core/connection-record.ts'
import { ListenerTable } from '../../../src/core/listener-table.ts'
import { mappedAddresses } from '../../../src/relay/linux/libc.ts'
import { warmUp } from '../../../src/relay/linux/warm-up.ts'
import type { RelayWorkerData } from '../../../src/relay/linux/worker-protocol.ts'
import { createTicketSecrets } from '../../../src/relay/tickets.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { openDescriptors, startLinuxRelay } from '../../support/linux-driver.ts'
import { relayWorkerData } from '../../support/relay-worker-data.ts'
import { dial, readBytes, startEcho } from '../../support/sockets.ts'

const hello = Buffer.from(buildClientHello({ serverName: 'acme.example.test' }))

/** Of a worker that there is not. */
function dataOfWorker(its: Partial<RelayWorkerData> = {}): RelayWorkerData {
  return relayWorkerData({ slots: 64, wakeFd: -1, port: new MessageChannel().port1, listenerTable: new ListenerTable().buffer, ...its })
}

for (const [what, like] of [
  ['one that has what every worker has', dataOfWorker()],
  ['one that has all', dataOfWorker({ tickets: createTicketSecrets(), kernelLane: 'always', kernelLanePlaces: 64, active: createActiveCells(1), busyPollUs: 50, handsOver: true })],
] as const) {
  void test(`a rehearsal for ${what} relays whole connections, to itself, and leaves nothing open and nothing counted`, async (t) => {
    const records: ConnectionRecord[] = []
    const [descriptors, mapped] = [openDescriptors(), mappedAddresses().size]
    warmUp({
      limitMs: 2_000, like,
      createObserver: () => ({ connectionEnded: (record) => records.push(record), flushIfDue: () => Infinity, flush: () => undefined }),
    })
    t.ok(records.length > 10, `${records.length} connections`)
    // Each of its two workers ends those that it is left with.
    const ended = records.filter(({ reason }) => reason !== 'gateway-stopped')
    t.ok(records.length - ended.length <= 2 * 16, `${records.length - ended.length} were left`)
    t.same(new Set(ended.map(({ reason, tenant: name }) => `${name} ${reason}`)), new Set(['warm-up downstream-reset', 'warm-up completed']))
    t.same([openDescriptors(), mappedAddresses().size], [descriptors, mapped])
    t.ok([...like.cells, like.slotsUsed, like.active?.rowsUsed ?? [], like.admission?.process ?? [], new Uint8Array(like.descriptors)].every((cells) => cells.every((cell) => cell === 0)))
  })
}

void test('a worker that has rehearsed has counted and recorded nothing, and serves as any other', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { warmUpMs: 200, tenants: [tenant('acme', [endpoint(echo.port)])] })
  t.same([relay.records, relay.failures], [[], []])
  const { openConnections, dials, bytesFromDownstream, openConnectionsByListener } = relay.driver.counters()
  t.same([openConnections, dials, bytesFromDownstream, [...openConnectionsByListener.values()]], [0, 0, 0, [0]])
  const client = await dial(t, relay.port, hello)
  t.same(await readBytes(client, hello.length), hello)
})
