// Who goes into the kernel lane, who stays in it, and what makes a connection leave: with real sockets, by the driver's counters.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createServer } from 'node:net'
import { test } from '../../../support/kernel-lane.ts'
import type { Test } from 'tap'
import { buildClientHello } from '../../../core/tls/hello-builder.ts'
import { endpoint, listenerName, tenant } from '../../../support/config.ts'
import { openDescriptors, startLinuxRelay, type LinuxRelay } from '../../../support/linux-driver.ts'
import { dial, readBytes, readToEnd, startBackend, startEcho, until } from '../../../support/sockets.ts'

const hello = buildClientHello({ serverName: 'acme.example.test' })

/** An echo behind a relay, and one client that is in the lane. */
async function inLane(t: Test, options: Partial<Parameters<typeof tenant>[2]> = {}): Promise<{ relay: LinuxRelay; client: Socket }> {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port)], options)], kernelLane: 'always' })
  const client = await dial(t, relay.port, hello)
  await readBytes(client, hello.length)
  await until(() => relay.driver.counters().kernelLaneConnections === 1)
  return { relay, client }
}

async function exchange(client: Socket, bytes: Buffer): Promise<boolean> {
  client.write(bytes)
  return (await readBytes(client, bytes.length)).equals(bytes)
}

void test('an interactive connection moves many times its budget, and never leaves', async (t) => {
  const { relay, client } = await inLane(t)
  const message = Buffer.alloc(4_000, 'm')
  for (let round = 1; round <= 360; round++) {
    if (!await exchange(client, message)) t.fail('another answer')
    // On a full machine the thread may not get to renew a budget in time. A fifth of it later it has looked at the counts, so it has run.
    if (round % 12 === 0) await until(() => relay.driver.counters().bytesFromDownstream === hello.length + round * message.length)
  }
  t.match(relay.driver.counters(), { kernelLaneConnections: 1, kernelLaneEntries: 1, kernelLaneLeaves: { bulky: 0, ending: 0, saturated: 0 } })
  client.end()
  await readToEnd(client)
  t.match(await relay.record(0), { reason: 'completed', bytesFromDownstream: hello.length + 360 * 4_000, bytesFromUpstream: hello.length + 360 * 4_000 })
  t.match(relay.driver.counters(), { kernelLaneConnections: 0, kernelLaneLeaves: { ending: 1 } })
})

void test('at auto a connection goes in by itself once it has been relayed for a while', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port)])], kernelLane: 'auto' })
  const client = await dial(t, relay.port, hello)
  await readBytes(client, hello.length)
  await until(() => relay.driver.counters().kernelLaneConnections === 1)
  t.ok(await exchange(client, Buffer.from('ping')))
})

void test('a connection on which something is always on its way goes in too: that is relayed first', async (t) => {
  const backend = await startBackend(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(backend.port)])], kernelLane: 'auto' })
  const client = await dial(t, relay.port, hello)
  const upstream = await backend.socket(0)
  client.resume()
  let isOver = false
  t.teardown(() => { isOver = true })
  const writeOn = (): void => {
    if (isOver) return
    for (let count = 0; count < 4; count++) upstream.write('some bytes')
    setImmediate(writeOn)
  }
  writeOn()
  await until(() => relay.driver.counters().kernelLaneConnections === 1)
})

void test('more than the budget at once makes it leave, and come back', async (t) => {
  const { relay, client } = await inLane(t)
  const bulk = Buffer.alloc(3_000_000, 'b')
  t.ok(await exchange(client, bulk))
  await until(() => relay.driver.counters().kernelLaneConnections === 1)
  const { kernelLaneEntries = 0, kernelLaneLeaves } = relay.driver.counters()
  t.ok((kernelLaneLeaves?.bulky ?? 0) > 0)
  t.equal(kernelLaneEntries, (kernelLaneLeaves?.bulky ?? 0) + 1)
  t.ok(await exchange(client, Buffer.from('ping')))
})

void test('IPv6 goes in as IPv4 does', async (t) => {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, '::1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('no port')
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(bound.port, { address: '::1' })])], kernelLane: 'always' })
  await relay.driver.unlisten(listenerName)
  const { port } = await relay.driver.listen(listenerName, { address: '::1', port: 0 }, { ipv6Only: true })
  const client = await dial(t, port, hello, '::1')
  await readBytes(client, hello.length)
  await until(() => relay.driver.counters().kernelLaneConnections === 1)
  for (let round = 0; round < 50; round++) t.ok(await exchange(client, Buffer.from(`ping ${round}`)))
  client.end()
  await readToEnd(client)
})

void test('a half-closed connection does not go in', async (t) => {
  const backend = await startBackend(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(backend.port)])], kernelLane: 'always' })
  const client = await dial(t, relay.port, hello)
  const upstream = await backend.socket(0)
  upstream.write('x')
  await readBytes(client, 1)
  client.end()
  await readToEnd(upstream)
  const { kernelLaneEntries } = relay.driver.counters()
  upstream.write('y')
  await readBytes(client, 1)
  t.match(relay.driver.counters(), { kernelLaneConnections: 0, kernelLaneEntries })
})

void test('bytes in the lane keep a connection from its idle deadline, and their end does not', async (t) => {
  const { relay, client } = await inLane(t, { idleTimeoutMs: 2_000 })
  const startedMs = performance.now()
  while (performance.now() - startedMs < 5_000) {
    t.ok(await exchange(client, Buffer.from('ping')))
    await new Promise((resolve) => {
      setTimeout(resolve, 50)
    })
  }
  t.same(relay.records, [])
  t.match(await readToEnd(client), { how: 'ECONNRESET' })
  t.match(await relay.record(0), { reason: 'idle-timeout' })
})

void test('of more connections than the lane has places for, the others go through epoll, and get in as places are left', async (t) => {
  const [places, connections] = [32, 40]
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port)])], kernelLane: 'always', kernelLanePlaces: places })
  const clients = await Promise.all(Array.from({ length: connections }, async () => {
    const client = await dial(t, relay.port, hello)
    await readBytes(client, hello.length)
    return client
  }))
  await until(() => relay.driver.counters().kernelLaneConnections === places)
  for (const client of clients) t.ok(await exchange(client, Buffer.from('ping')))
  t.match(relay.driver.counters(), { openConnections: connections, kernelLaneConnections: places, kernelLaneEntries: places })
  for (const client of clients.splice(0, places)) client.destroy()
  await until(() => relay.driver.counters().kernelLaneConnections === connections - places)
  for (const client of clients) t.ok(await exchange(client, Buffer.from('ping')))
  t.same(relay.failures, [])
})

void test('a worker that dies takes its lane with it, and its successor has one', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port)])], kernelLane: 'always' })
  const enter = async (): Promise<Socket> => {
    const client = await dial(t, relay.port, hello)
    await readBytes(client, hello.length)
    await until(() => relay.driver.counters().kernelLaneConnections === 1)
    return client
  }
  const first = await enter()
  const [ending, before] = [readToEnd(first), openDescriptors()]
  await relay.driver.crashWorker(0)
  t.match(await ending, { how: 'ECONNRESET' })
  const second = await enter()
  t.ok(await exchange(second, Buffer.from('ping')))
  t.ok(openDescriptors() <= before + 2, 'nothing of the first is left open')
})
