// Limits over several workers: each takes its connections from the same counts.

import { test } from '../../support/linux-only.ts'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { resetFlushMsMax } from '../../../src/relay/closing-limits.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { startLinuxRelay } from '../../support/linux-driver.ts'
import { dial, readBytes, startBackend, startEcho, startFlood, until } from '../../support/sockets.ts'

const hello = Buffer.from(buildClientHello({ serverName: 'acme.example.test' }))

interface Attempt {
  readonly socket: Socket
  readonly isAnswered: boolean
}

/** At one time, so that workers meet. */
async function attempts(t: Test, port: number, count: number): Promise<readonly Attempt[]> {
  return await Promise.all(Array.from({ length: count }, async () => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    t.teardown(() => void socket.destroy())
    socket.on('error', () => undefined)
    socket.write(hello)
    return { socket, isAnswered: await readBytes(socket, hello.length).then((bytes) => bytes.equals(hello), () => false) }
  }))
}

void test('a storm that is faster than the process’s pace waits in the queue, and nobody in it is refused', async (t) => {
  const echo = await startEcho(t)
  const [perSecond, burst] = [100, 40]
  const relay = await startLinuxRelay(t, { workers: 1, tenants: [tenant('acme', [endpoint(echo.port)])], limits: { rate: { perSecond, burst } } })
  const all = await attempts(t, relay.port, burst + 8)
  t.ok(all.every(({ isAnswered }) => isAnswered))
  t.ok(Number(relay.driver.counters().pacedAccepts) > 0)
  t.same(relay.records, [])
})

for (const [what, options] of [
  ['a tenant’s', { tenantLimits: { connectionsMax: 5 } }],
  ['a tenant’s source’s', { tenantLimits: { connectionsPerSourceMax: 5 } }],
  ['a listener’s', { listenerLimits: { connectionsMax: 5 } }],
  ['a source’s', { listenerLimits: { connectionsPerSourceMax: 5 } }],
  ['the process’s', { processLimits: { connectionsMax: 5 } }],
] as const) {
  void test(`${what} cap is one over all workers, and what a worker had that died is free again`, async (t) => {
    const echo = await startEcho(t)
    const { tenantLimits, listenerLimits, processLimits } = { tenantLimits: undefined, listenerLimits: undefined, processLimits: undefined, ...options }
    const relay = await startLinuxRelay(t, {
      workers: 3,
      tenants: [tenant('acme', [endpoint(echo.port)], tenantLimits === undefined ? {} : { limits: tenantLimits })],
      ...(listenerLimits === undefined ? {} : { listener: { limits: listenerLimits } }),
      ...(processLimits === undefined ? {} : { limits: processLimits }),
    })
    const answered = (all: readonly Attempt[]): readonly Attempt[] => all.filter(({ isAnswered }) => isAnswered)
    const first = answered(await attempts(t, relay.port, 60))
    t.equal(first.length, 5)
    for (let worker = 0; worker < 3; worker++) await relay.driver.crashWorker(worker)
    t.match(relay.admission(), { openConnections: 0, openConnectionsBeforeHello: 0, openOfTenants: 0, tenantsWithConnections: 0 })
    const next = answered(await attempts(t, relay.port, 60))
    t.equal(next.length, 5)
    for (const { socket } of next) socket.end()
    await until(() => relay.admission().openConnections === 0)
  })
}

void test('one that has ended and whose client does not take what it is owed is still among its tenant’s', async (t) => {
  const flood = await startFlood(t)
  const relay = await startLinuxRelay(t, { workers: 1, tenants: [tenant('acme', [endpoint(flood.port)], { limits: { connectionsMax: 1 } })] })
  const stalled = await dial(t, relay.port, hello)
  stalled.pause()
  await flood.stalled()
  const [worker] = relay.driver.live
  const found = await worker?.scan({ query: { tenant: 'acme' }, from: 0, max: 1 })
  await worker?.close(found?.connections ?? [])
  await until(() => relay.records.length === 1)
  t.match(relay.admission(), { openOfTenants: 1 })
  const refused = await dial(t, relay.port, hello)
  refused.resume()
  await until(() => relay.records.length === 2)
  t.match(relay.records.map(({ reason }) => reason), ['closed-by-operator', 'tenant-connection-limit'])
  stalled.destroy()
  await until(() => relay.admission().openOfTenants === 0)
})

// Sooner than bytes that are owed are given up.
void test('one whose peers have both gone is nobody’s at once, whatever they were owed', { timeout: resetFlushMsMax / 2 }, async (t) => {
  const flood = Buffer.alloc(8 * 1024 * 1024)
  const backend = await startBackend(t, (socket) => {
    socket.pause()
    socket.write(flood)
  })
  const relay = await startLinuxRelay(t, { workers: 1, tenants: [tenant('acme', [endpoint(backend.port)], { limits: { connectionsMax: 1 } })] })
  const client = await dial(t, relay.port, hello)
  client.pause()
  client.write(flood)
  const upstream = await backend.socket(0)
  await until(() => relay.driver.counters().backpressurePauses >= 2)
  upstream.resetAndDestroy()
  // The worker has been told, and can't read on: its client takes nothing.
  await Promise.all(relay.driver.live.map(async (worker) => await worker.scan({ query: {}, from: 0, max: 1 })))
  client.resetAndDestroy()
  await until(() => relay.admission().openOfTenants === 0)
  // Its record comes by a message.
  await relay.record(0)
})
