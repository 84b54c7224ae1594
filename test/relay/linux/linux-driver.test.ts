import { test } from '../../support/linux-only.ts'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { encodeFatalAlert } from '../../../src/core/tls/alert.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { closeAll, openListeningSockets } from '../../../src/relay/linux/listening-sockets.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { changeOf, endpoint, listener, listenerName, tenant } from '../../support/config.ts'
import { openDescriptors, startLinuxRelay } from '../../support/linux-driver.ts'
import { dial, readBytes, readToEnd, startBackend, startEcho, until } from '../../support/sockets.ts'

const hello = helloFor('acme')

function helloFor(tenantName: string): Buffer {
  return Buffer.from(buildClientHello({ serverName: `${tenantName}.example.test` }))
}

/** The worker that relayed it, by its connection's id: `prefix-worker.restarts-number`. */
function workerOf(id: string): string {
  return id.split('-')[1] ?? ''
}

async function echoing(t: Test, port: number): Promise<Socket> {
  const client = await dial(t, port, hello)
  await readBytes(client, hello.length)
  return client
}

/**
 * So many that each of two or three workers has some: the system decides by a hash of the client's port, and that one gets
 * none of forty is a matter of one in a million.
 */
async function manyEchoing(t: Test, port: number): Promise<Socket[]> {
  return await Promise.all(Array.from({ length: 40 }, async () => await echoing(t, port)))
}

void test('connections are spread over workers, and each has an id of its own', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { workers: 3, tenants: [tenant('acme', [endpoint(echo.port)])] })
  t.equal(relay.driver.counters().workers, 3)
  const clients = await manyEchoing(t, relay.port)
  t.equal(relay.driver.counters().openConnections, clients.length)
  t.same(Array.from(relay.driver.counters().openConnectionsByListener), [[listenerName, clients.length]])
  for (const client of clients) client.end()
  await relay.record(clients.length - 1)
  t.same(new Set(relay.records.map(({ id }) => workerOf(id))), new Set(['0.0', '1.0', '2.0']))
})

void test('an API server that accepts a connection has its hello: the handshake’s last ACK came with it', async (t) => {
  const { fds, bound } = openListeningSockets({ address: '127.0.0.1', port: 0 }, { ipv6Only: false }, 1)
  t.teardown(() => closeAll(fds))
  const [listening = -1] = fds
  // Else the system itself would wait for the hello.
  libc.check(libc.setIntOption(listening, libc.IPPROTO_TCP, libc.TCP_DEFER_ACCEPT, 0), 'setsockopt')
  // The second one leads to this host too, but is none of its loopback addresses.
  const relay = await startLinuxRelay(t, { workers: 1, tenants: [tenant('acme', [endpoint(bound.port)]), tenant('other', [endpoint(bound.port, { address: '0.0.0.0' })])] })
  const received = libc.allocate(hello.length)
  t.teardown(() => libc.free(received))
  let withHello = 0
  for (let connection = 0; connection < 20; connection++) {
    const client = await dial(t, relay.port, helloFor(connection < 10 ? 'acme' : 'other'))
    // At once, not when an event loop comes to it.
    let accepted = -1
    for (const endMs = performance.now() + 1_000; accepted === -1 && performance.now() < endMs;) accepted = libc.accept4(listening, 0, 0, libc.SOCK_NONBLOCK)
    if (libc.recv(accepted, received.address, hello.length, 0) > 0) withHello += 1
    libc.close(accepted)
    client.destroy()
  }
  // The ACK goes alone where a worker is held up for 200 ms, and a look may come between the two.
  t.ok(withHello > 15, `${withHello} of 20`)
})

void test('a change that is published is every worker’s, and connections of before keep theirs', async (t) => {
  const [before, after] = [await startEcho(t), await startEcho(t)]
  const relay = await startLinuxRelay(t, { workers: 2, tenants: [tenant('acme', [endpoint(before.port)])] })
  const old = await manyEchoing(t, relay.port)
  await relay.driver.publish({ ...changeOf({ tenants: [tenant('acme', [endpoint(after.port)])] }), version: 2 })
  const young = await manyEchoing(t, relay.port)
  t.same([before.sockets.length, after.sockets.length], [old.length, young.length])
  for (const client of old) {
    client.write('still here')
    t.equal((await readBytes(client, 10)).toString(), 'still here')
  }
})

void test('the connection limit is one for all workers', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { workers: 2, connectionsMax: 40, tenants: [tenant('acme', [endpoint(echo.port)])] })
  await manyEchoing(t, relay.port)
  const refused = await dial(t, relay.port, hello)
  t.same(await readToEnd(refused), { bytes: Buffer.from(encodeFatalAlert('internal_error')), how: 'fin' })
  t.match(await relay.record(0), { reason: 'connection-limit' })
})

void test('a drain is over once no worker has a connection', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { workers: 2, tenants: [tenant('acme', [endpoint(echo.port)])] })
  const clients = await manyEchoing(t, relay.port)
  await relay.driver.unlisten(listenerName)
  let drained = false
  const drain = (async () => {
    await relay.driver.drain()
    drained = true
  })()
  for (const [index, client] of clients.entries()) {
    t.equal(drained, false)
    client.end()
    await relay.record(index)
  }
  await drain
})

void test('stop ends the connections of every worker, and leaves no descriptor and no thread', async (t) => {
  const echo = await startEcho(t)
  const before = openDescriptors()
  const relay = await startLinuxRelay(t, { workers: 3, tenants: [tenant('acme', [endpoint(echo.port)])] })
  const clients = await manyEchoing(t, relay.port)
  const endings = clients.map(async (client) => await readToEnd(client))
  await relay.driver.stop()
  t.same(new Set((await Promise.all(endings)).map(({ how }) => how)), new Set(['ECONNRESET']))
  t.same(new Set(relay.records.map(({ reason }) => reason)), new Set(['gateway-stopped']))
  t.equal(relay.records.length, clients.length)
  await Promise.all(echo.sockets.map(async (socket) => await closed(socket)))
  t.equal(openDescriptors(), before)
})

async function closed(socket: { closed: boolean; once: (event: 'close', listener: () => void) => unknown }): Promise<void> {
  if (socket.closed) return
  await new Promise<void>((resolve) => {
    socket.once('close', resolve)
  })
}

void test('a worker that crashes is replaced: its connections are reset and recorded, others live on', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { workers: 2, tenants: [tenant('acme', [endpoint(echo.port)])] })
  const clients = await manyEchoing(t, relay.port)
  const endings = clients.map(async (client) => await readToEnd(client))
  await relay.driver.crashWorker(0)
  const crashing = relay.records.length
  const living = clients.length - crashing
  t.equal(relay.activeOn('acme', echo.port), living, 'what the worker had counted is taken from its endpoint')
  t.ok(crashing > 0 && living > 0)
  t.same(relay.records.map(({ id, reason, closedBy }) => [workerOf(id), reason, closedBy]), Array.from({ length: crashing }, () => ['0.0', 'worker-failed', 'gateway']))
  t.equal(relay.failures.length, 1, 'the failure is told once')
  t.match(relay.failures[0], /relay worker 0 died.*told to crash/)
  t.match(relay.driver.counters(), { workers: 2, workerRestarts: 1, openConnections: living })
  for (const client of clients) client.end()
  const hows = (await Promise.all(endings)).map(({ how }) => how)
  t.equal(hows.filter((how) => how === 'ECONNRESET').length, crashing)
  t.equal(hows.filter((how) => how === 'fin').length, living)
  await relay.record(clients.length - 1)
  const next = await manyEchoing(t, relay.port)
  for (const client of next) client.end()
  await relay.record(clients.length + next.length - 1)
  t.same(new Set(relay.records.slice(clients.length).map(({ id }) => workerOf(id))), new Set(['0.1', '1.0']))
})

void test('a worker that crashes again and again leaks no descriptor, and the successor serves what waited in its backlog', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port)])] })
  await echoing(t, relay.port)
  const rounds = 3
  let before = 0
  for (let round = 0; round < rounds; round++) {
    const crash = relay.driver.crashWorker(0)
    // Dead by now, or about to be: whoever accepts it, it is answered by an echo or reset; in the backlog it must not stay.
    const waiting = [await dial(t, relay.port, hello), await dial(t, relay.port, hello)]
    await crash
    for (const client of waiting) await readBytes(client, hello.length).catch(() => undefined)
    const client = await echoing(t, relay.port)
    await until(() => relay.driver.counters().openConnections === echo.sockets.filter((socket) => !socket.destroyed).length)
    for (const each of waiting) each.destroy()
    client.end()
    await until(() => relay.driver.counters().openConnections === 0)
    await Promise.all(echo.sockets.map(async (socket) => await closed(socket)))
    if (round === 0) before = openDescriptors()
  }
  // A connection is told of a moment before its descriptors are closed.
  await until(() => openDescriptors() <= before)
  t.equal(relay.driver.counters().workerRestarts, rounds)
})

void test('listening, publishing and draining while a worker is being replaced reach its successor, once', async (t) => {
  const [before, after] = [await startEcho(t), await startEcho(t)]
  const relay = await startLinuxRelay(t, { workers: 2, tenants: [tenant('acme', [endpoint(before.port)])] })
  const listeners = [listener(), listener({ name: 'second' })]
  const died = relay.nextFailure()
  const crash = relay.driver.crashWorker(0)
  await died
  const [, { port }] = await Promise.all([
    relay.driver.publish(changeOf({ tenants: [tenant('acme', [endpoint(after.port)], { drainTimeoutMs: 2_000 })], listeners, version: 2 })),
    relay.driver.listen('second', { address: '127.0.0.1', port: 0 }, { ipv6Only: false }),
  ])
  await crash
  const clients = await manyEchoing(t, port)
  t.equal(after.sockets.length, clients.length)

  const diedAgain = relay.nextFailure()
  const crashAgain = relay.driver.crashWorker(1)
  await diedAgain
  const drained = relay.driver.drain()
  await crashAgain
  const client = await echoing(t, port)
  t.match(await readToEnd(client), { how: 'ECONNRESET' })
  await drained
  t.equal(relay.driver.counters().openConnections, 0)
})

void test('an endpoint may be a name: one that resolves is dialled, one that does not is unreachable', async (t) => {
  const echo = await startEcho(t)
  lookups(t, {
    'localhost': (answer) => answer(null, '127.0.0.1', 4),
    'nowhere.invalid': (answer) => answer(Object.assign(new Error('getaddrinfo ENOTFOUND nowhere.invalid'), { code: 'ENOTFOUND' }), '', 4),
  })
  const relay = await startLinuxRelay(t, {
    tenants: [
      tenant('acme', [endpoint(echo.port, { address: 'localhost' })]),
      tenant('globex', [endpoint(echo.port, { address: 'nowhere.invalid' })], { attemptsMax: 1 }),
    ],
  })
  const client = await echoing(t, relay.port)
  client.end()
  t.match(await relay.record(0), { reason: 'completed', endpoint: `localhost:${echo.port}`, attempts: 1 })
  const refused = await dial(t, relay.port, helloFor('globex'))
  t.same(await readToEnd(refused), { bytes: Buffer.from(encodeFatalAlert('internal_error')), how: 'fin' })
  t.match(await relay.record(1), { reason: 'dial-unreachable', detail: /ENOTFOUND/, attempts: 1 })
  t.match(relay.driver.counters(), { dials: 2, dialFailures: 1 })
})

void test('the system’s own resolver answers for localhost', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port, { address: 'localhost' })])] })
  const client = await dial(t, relay.port, hello)
  const answer = await readBytes(client, hello.length).catch(() => undefined)
  // ::1 where that comes first: nobody listens there.
  if (answer === undefined) t.match(await relay.record(0), { reason: 'dial-refused' })
  else t.same(answer, hello)
})

type LookupAnswer = (error: NodeJS.ErrnoException | null, address: string, family: number) => void

/** Answers lookups as the test says: the driver asks `dns.lookup`. */
function lookups(t: Test, answers: Readonly<Record<string, (answer: LookupAnswer) => void>>): void {
  t.intercept(dns, 'lookup', {
    value: (hostname: string, _options: unknown, answer: LookupAnswer) => answers[hostname]?.(answer),
  })
  syncBuiltinESMExports()
  t.teardown(syncBuiltinESMExports)
}

void test('a name’s address that comes late goes to nobody: not to the connection that has the slot now', async (t) => {
  const [slow, fast] = [await startBackend(t), await startEcho(t)]
  const answers = new Map<string, LookupAnswer>()
  lookups(t, {
    'slow.test': (answer) => answers.set('slow', answer),
    'fast.test': (answer) => answers.set('fast', answer),
  })
  const relay = await startLinuxRelay(t, {
    tenants: [tenant('acme', [endpoint(slow.port, { address: 'slow.test' })]), tenant('globex', [endpoint(fast.port, { address: 'fast.test' })])],
  })
  const leaving = await dial(t, relay.port, hello)
  await until(() => answers.has('slow'))
  leaving.resetAndDestroy()
  t.match(await relay.record(0), { reason: 'closed-while-dialing' })
  const client = await dial(t, relay.port, helloFor('globex'))
  await until(() => answers.has('fast'))
  // An address at which nobody listens on that port: whoever took it for its own would be refused.
  answers.get('slow')?.(null, '127.0.0.9', 4)
  answers.get('fast')?.(null, '127.0.0.1', 4)
  await readBytes(client, hello.length + 2).catch(() => undefined)
  client.end()
  t.match(await relay.record(1), { tenant: 'globex', reason: 'completed' })
})

void test('a name’s address that comes after its worker has died is not its successor’s', async (t) => {
  const fast = await startEcho(t)
  const answers: LookupAnswer[] = []
  lookups(t, { 'slow.test': (answer) => answers.push(answer), 'fast.test': (answer) => answers.push(answer) })
  const relay = await startLinuxRelay(t, {
    tenants: [tenant('acme', [endpoint(fast.port, { address: 'slow.test' })]), tenant('globex', [endpoint(fast.port, { address: 'fast.test' })])],
  })
  await dial(t, relay.port, hello)
  await until(() => answers.length === 1)
  await relay.driver.crashWorker(0)
  t.match(await relay.record(0), { reason: 'worker-failed' })
  const client = await dial(t, relay.port, helloFor('globex'))
  await until(() => answers.length === 2)
  answers[0]?.(null, '127.0.0.9', 4)
  answers[1]?.(null, '127.0.0.1', 4)
  await readBytes(client, helloFor('globex').length)
  client.end()
  t.match(await relay.record(1), { tenant: 'globex', reason: 'completed' })
})
