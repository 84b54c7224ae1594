import { test } from '../../support/linux-only.ts'
import type { ConnectionRecord } from '../../../src/core/connection-record.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { openDescriptors, startLinuxRelay } from '../../support/linux-driver.ts'
import { dial, readBytes, startEcho } from '../../support/sockets.ts'

const hello = Buffer.from(buildClientHello({ serverName: 'acme.example.test' }))

void test('a rehearsal relays whole connections, to itself, and leaves nothing open', async (t) => {
  // Here and not above: where the driver does not run, its module can't be loaded.
  const { warmUp } = await import('../../../src/relay/linux/warm-up.ts')
  const { mappedAddresses } = await import('../../../src/relay/linux/libc.ts')
  const records: ConnectionRecord[] = []
  const [descriptors, mapped] = [openDescriptors(), mappedAddresses().size]
  warmUp({
    limitMs: 300,
    createObserver: () => ({ connectionEnded: (record) => records.push(record), flushIfDue: () => Infinity, flush: () => undefined }),
  })
  t.ok(records.length > 10, `${records.length} connections`)
  // Each of its two workers ends those that it is left with.
  const ended = records.filter(({ reason }) => reason !== 'gateway-stopped')
  t.ok(records.length - ended.length <= 2 * 24, `${records.length - ended.length} were left`)
  t.same(new Set(ended.map(({ reason, tenant: name }) => `${name} ${reason}`)), new Set(['warm-up downstream-reset', 'warm-up completed']))
  t.same([openDescriptors(), mappedAddresses().size], [descriptors, mapped])
})

void test('a worker that has rehearsed has counted and recorded nothing, and serves as any other', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { warmUpMs: 200, tenants: [tenant('acme', [endpoint(echo.port)])] })
  t.same([relay.records, relay.failures], [[], []])
  const { openConnections, dials, bytesFromDownstream, openConnectionsByListener } = relay.driver.counters()
  t.same([openConnections, dials, bytesFromDownstream, [...openConnectionsByListener.values()]], [0, 0, 0, [0]])
  const client = await dial(t, relay.port, hello)
  t.same(await readBytes(client, hello.length), hello)
})
