// The generator's loads, against servers made for the purpose.

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { captureClientHello } from '../../bench/load/client-hello.ts'
import { createLoad } from '../../bench/load/create-load.ts'
import { EventLoop } from '../../bench/load/event-loop.ts'
import type { Load, LoadSpec, LoadTally } from '../../bench/load/load.ts'
import { ClientHelloReader } from '../../src/core/tls/client-hello.ts'
import { startBackend, startEcho, until } from '../support/sockets.ts'

const hello = await captureClientHello('echo.bench.example')
const loop = new EventLoop()

const untilTally = (isSo: (tally: LoadTally) => boolean) => async (load: Load): Promise<void> => await until(() => isSo(load.tally()))
const anOperation = untilTally(({ latency }) => latency.count > 0)

interface RunLoadOptions {
  readonly whileOpen?: (load: Load) => Promise<unknown>
  readonly connectProxy?: string
}

async function runLoad(spec: LoadSpec, port: number, { whileOpen = () => delay(50), ...proxy }: RunLoadOptions = {}): Promise<LoadTally> {
  const load = createLoad({ spec, target: { port, hello, ...proxy }, loop })
  await load.prepare()
  load.openWindow()
  load.start()
  await whileOpen(load)
  load.closeWindow()
  await load.finish()
  return load.tally()
}

void test('the hello is a whole one and asks for the name', async (t) => {
  const progress = new ClientHelloReader().push(hello)
  t.match(progress, { kind: 'complete', hello: { serverName: 'echo.bench.example', alpnProtocols: ['h2', 'http/1.1'] } })
})

void test('an echo load counts what it sends and gets back', async (t) => {
  const backend = await startEcho(t)
  const tally = await runLoad({ kind: 'echo', connections: 3, payloadBytes: 100 }, backend.port, { whileOpen: anOperation })
  t.equal(tally.failures, 0)
  t.equal(tally.opened, 3)
  t.ok(tally.operations > 0)
  t.equal(tally.receivedBytes, tally.sentBytes)
  t.equal((tally.sentBytes - 3 * hello.length) % 100, 0)
})

void test('an echo that differs is a failure, and its connection is given up', async (t) => {
  const backend = await startBackend(t, (socket) => {
    socket.once('data', (first: Buffer) => {
      socket.write(first)
      socket.on('data', (bytes: Buffer) => socket.write(bytes.fill(0)))
    })
  })
  const tally = await runLoad({ kind: 'echo', connections: 2, payloadBytes: 64 }, backend.port)
  t.match(tally, { failures: 2, operations: 0, firstFailure: 'the echo differs from what was sent' })
})

void test('bytes that nobody asked for are a failure', async (t) => {
  const backend = await startBackend(t, (socket) => {
    socket.once('data', (first: Buffer) => {
      socket.write(first)
      setTimeout(() => socket.write('more'), 20)
    })
  })
  const tally = await runLoad({ kind: 'idle', connections: 1 }, backend.port, { whileOpen: async () => {
    await until(() => backend.sockets[0]?.destroyed === true)
  } })
  t.match(tally, { failures: 1, firstFailure: 'the echo differs from what was sent' })
})

void test('a connection that ends is a failure', async (t) => {
  const backend = await startBackend(t, (socket) => {
    socket.once('data', () => socket.end())
  })
  for (const kind of ['echo', 'paced', 'idle', 'download', 'connect'] as const) {
    const tally = await runLoad({ kind, connections: 2, payloadBytes: 64, requestsPerSecond: 100 }, backend.port, { whileOpen: untilTally(({ failures }) => failures >= 2) })
    t.ok(tally.failures >= 2, kind)
    t.match(tally.firstFailure, 'the relay closed the connection', kind)
  }
})

void test('a download counts what comes, an upload what it sends', async (t) => {
  const bytes = 3e6
  const source = await startBackend(t, (socket) => {
    socket.once('data', () => socket.write(Buffer.alloc(bytes)))
  })
  let tally = await runLoad({ kind: 'download', connections: 1 }, source.port, { whileOpen: untilTally(({ receivedBytes }) => receivedBytes >= bytes) })
  t.match(tally, { failures: 0, opened: 1, receivedBytes: bytes, sentBytes: hello.length })
  let received = 0
  const sink = await startBackend(t, (socket) => {
    socket.on('data', (each: Buffer) => {
      received += each.length
    })
  })
  tally = await runLoad({ kind: 'upload', connections: 2 }, sink.port, { whileOpen: async () => {
    await until(() => received >= bytes)
  } })
  t.match(tally, { failures: 0, opened: 2 })
  t.ok(tally.sentBytes >= received)
})

void test('a connection that is refused is a failure', async (t) => {
  const backend = await startEcho(t)
  await backend.close()
  for (const kind of ['echo', 'paced', 'idle', 'download', 'upload', 'connect'] as const) {
    const tally = await runLoad({ kind, connections: 2, payloadBytes: 64, requestsPerSecond: 100 }, backend.port)
    t.ok(tally.failures >= 2, kind)
    t.match(tally.firstFailure, /ECONNREFUSED/, kind)
  }
})

void test('a stall is in the latency of every request that was due meanwhile', async (t) => {
  const [connections, requestsPerSecond, stallMs] = [2, 200, 300]
  const held: (() => void)[] = []
  let stalled = true
  const backend = await startBackend(t, (socket: Socket) => {
    socket.once('data', (first: Buffer) => {
      socket.write(first)
      socket.on('data', (bytes: Buffer) => {
        const copy = Buffer.from(bytes)
        if (stalled) held.push(() => socket.write(copy))
        else socket.write(copy)
      })
    })
  })
  const tally = await runLoad({ kind: 'paced', connections, payloadBytes: 64, requestsPerSecond }, backend.port, { whileOpen: async () => {
    await until(() => held.length === connections)
    await delay(stallMs)
    stalled = false
    for (const answer of held) answer()
  } })
  t.equal(held.length, connections, 'a closed loop would know of these alone')
  t.ok(tally.latency.count >= Math.floor(requestsPerSecond * stallMs / 1000), `${tally.latency.count} are in the histogram`)
  t.equal(tally.failures, 0)
  t.ok(tally.latency.mean / 1e6 >= stallMs / 3, 'on average they waited for half of the stall')
  t.equal(tally.receivedBytes, tally.sentBytes)
})

void test('a connect load resets each connection once its hello has come back', async (t) => {
  const backend = await startEcho(t)
  const tally = await runLoad({ kind: 'connect', connections: 2 }, backend.port, { whileOpen: anOperation })
  t.equal(tally.failures, 0)
  t.ok(tally.operations > 0)
  t.equal(tally.opened, backend.sockets.length)
  t.equal(tally.receivedBytes, tally.opened * hello.length)
})

void test('an idle load sends the hello and nothing else', async (t) => {
  const backend = await startEcho(t)
  const tally = await runLoad({ kind: 'idle', connections: 5 }, backend.port)
  t.match(tally, { opened: 5, failures: 0, operations: 0, sentBytes: 5 * hello.length, receivedBytes: 5 * hello.length })
})

/** On a Unix socket: answers a CONNECT, and echoes what follows. */
async function startConnectProxy(t: Test, answer: string): Promise<{ readonly path: string, readonly heads: string[] }> {
  // The test's own folder has too long a path for a socket.
  const folder = await mkdtemp(join(tmpdir(), 'sluice-load-'))
  const path = join(folder, 'proxy.sock')
  const heads: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (head: Buffer) => {
      heads.push(head.toString())
      socket.write(answer)
      socket.pipe(socket)
    })
  })
  server.listen(path)
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    await rm(folder, { recursive: true })
  })
  return { path, heads }
}

void test('through a proxy, each connection begins with a CONNECT, and the hello waits for its answer', async (t) => {
  const { path, heads } = await startConnectProxy(t, 'HTTP/1.1 200 Connection established\r\n\r\n')
  for (const kind of ['echo', 'connect', 'upload'] as const) {
    const tally = await runLoad({ kind, connections: 2, payloadBytes: 64 }, 7, { connectProxy: path })
    t.equal(tally.failures, 0, `${kind} ${tally.firstFailure}`)
    t.ok(tally.opened >= 2)
  }
  t.same(new Set(heads), new Set(['CONNECT 127.0.0.1:7 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n']))
})

void test('a CONNECT that is refused is a failure', async (t) => {
  const { path } = await startConnectProxy(t, 'HTTP/1.1 503 Service Unavailable\r\n\r\n')
  const tally = await runLoad({ kind: 'idle', connections: 1 }, 7, { connectProxy: path })
  t.match(tally, { failures: 1, firstFailure: /^the proxy answered "HTTP\/1\.1 503/ })
})
