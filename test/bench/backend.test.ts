// The backend's servers, in processes of their own as in the bench.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import tap, { test } from 'tap'
import type { BackendCounters } from '../../bench/load/backend-protocol.ts'
import { Backends } from '../../bench/load/backends.ts'
import { greetingOf } from '../../bench/load/greeting.ts'
import { dial } from '../support/sockets.ts'

const hello = Buffer.alloc(1600, 0x48)

type Counted = Pick<BackendCounters, 'connections' | 'open' | 'receivedBytes' | 'sentBytes'>

const { backends, ports: [ports] } = await Backends.start({ processes: 2, sets: 1 })
tap.teardown(() => backends.stop())
if (ports === undefined) throw new Error('no ports')

/** What all processes have counted since this was called. */
async function startCounting(): Promise<(settled?: 'settled') => Promise<Counted>> {
  const before = await backends.counters()
  return async (settled) => {
    const after = settled === undefined ? await backends.counters() : await backends.settle(10_000)
    const grown = (field: keyof Counted): number => after.reduce((sum, each, index) => sum + each[field] - (before[index]?.[field] ?? 0), 0)
    return { connections: grown('connections'), open: grown('open'), receivedBytes: grown('receivedBytes'), sentBytes: grown('sentBytes') }
  }
}

/** Reads so many bytes, or more. */
async function readSome(socket: Socket, byteLength: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let received = 0
  while (received < byteLength) {
    const [chunk] = await once(socket, 'data') as [Buffer]
    chunks.push(chunk)
    received += chunk.length
  }
  return Buffer.concat(chunks)
}

void test('an echo returns what it is sent, and counts both ways', async (t) => {
  const counted = await startCounting()
  const socket = await dial(t, ports.echo, hello)
  t.same(await readSome(socket, hello.length), hello)
  t.same(await counted(), { connections: 1, open: 1, receivedBytes: hello.length, sentBytes: hello.length })
  socket.resetAndDestroy()
  t.match(await counted('settled'), { connections: 1, open: 0 })
})

void test('a source waits for the hello, and then sends without end', async (t) => {
  const counted = await startCounting()
  const sockets = [await dial(t, ports.source), await dial(t, ports.source)]
  while ((await counted()).connections < 2) await delay(10)
  t.match(await counted(), { sentBytes: 0 })
  await Promise.all(sockets.map(async (socket) => {
    socket.write(hello)
    const bytes = await readSome(socket, 5e6)
    t.ok(bytes.equals(Buffer.alloc(bytes.length, 0x53)))
    socket.destroy()
  }))
  const { open, receivedBytes, sentBytes } = await counted('settled')
  t.same({ open, receivedBytes }, { open: 0, receivedBytes: 2 * hello.length })
  t.ok(sentBytes >= 10e6)
})

void test('a sink reads everything', async (t) => {
  const counted = await startCounting()
  const socket = connect({ port: ports.sink, host: '127.0.0.1' })
  socket.end(Buffer.alloc(5e6))
  await once(socket, 'close')
  t.same(await counted('settled'), { connections: 1, open: 0, receivedBytes: 5e6, sentBytes: 0 })
})

void test('one port has all of them, by the first byte', async (t) => {
  const counted = await startCounting()
  const echo = await dial(t, ports.byGreeting, greetingOf('echo'))
  t.same(await readSome(echo, greetingOf('echo').length), greetingOf('echo'))
  echo.write('more')
  t.same(await readSome(echo, 4), Buffer.from('more'))
  for (const server of ['source', 'boundedSource'] as const) {
    const source = await dial(t, ports.byGreeting, greetingOf(server))
    t.ok((await readSome(source, 1e6)).every((byte) => byte === 0x53), server)
    source.destroy()
  }
  const sink = await dial(t, ports.byGreeting, greetingOf('sink'))
  sink.end(Buffer.alloc(1e6))
  await once(sink, 'close')
  const stranger = await dial(t, ports.byGreeting, Buffer.from('?'))
  stranger.on('error', () => undefined)
  await new Promise((resolve) => {
    stranger.once('close', resolve)
  })
  echo.destroy()
  t.match(await counted('settled'), { connections: 5, open: 0 })
})

void test('processes share the ports', async (t) => {
  const counted = await startCounting()
  const before = await backends.counters()
  for (let connections = 1; connections <= 64; connections += 1) (await dial(t, ports.sink, hello)).end()
  while ((await counted()).connections < 64) await delay(10)
  const after = await backends.settle(10_000)
  const shares = after.map(({ connections }, index) => connections - (before[index]?.connections ?? 0))
  t.ok(shares.every((share) => share > 0), 'each has had some')
  t.equal(shares.reduce((sum, share) => sum + share, 0), 64)
})
