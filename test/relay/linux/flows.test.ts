// Bytes through a live driver: whatever their sizes and whoever is slow, the same ones come out, in order, once.

import { test } from '../../support/linux-only.ts'
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { startLinuxRelay } from '../../support/linux-driver.ts'
import { dial, readBytes, readToEnd, startBackend, startEcho } from '../../support/sockets.ts'

const hello = buildClientHello({ serverName: 'acme.example.test' })

/** Cut at random, as fast as the other side takes it; then FIN. */
async function sendInPieces(socket: Socket, bytes: Buffer, cuts: readonly number[]): Promise<void> {
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const length = cuts[index % cuts.length] ?? bytes.length
    const piece = bytes.subarray(at, at + length)
    at += length
    if (!socket.write(piece)) {
      await new Promise<void>((resolve) => {
        socket.once('drain', resolve)
      })
    }
  }
  socket.end()
}

/** Reads to FIN, and now and then lets the sender fill every buffer on the way. */
async function hashSlowly(socket: Socket, pauseEveryBytes: number): Promise<{ hash: string; byteLength: number }> {
  const hash = createHash('sha256')
  let [byteLength, sincePause] = [0, 0]
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    hash.update(chunk)
    byteLength += chunk.length
    sincePause += chunk.length
    if (sincePause < pauseEveryBytes) continue
    sincePause = 0
    for (let turn = 0; turn < 50; turn++) await nextTurn()
  }
  return { hash: hash.digest('hex'), byteLength }
}

function hashOf(...parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

void test('bulky flows in both directions at once cross whole, through pipes, with slow readers, and end in good order', async (t) => {
  const backend = await startBackend(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(backend.port)])] })
  const cuts = [1, 70_000, 16_384, 300_000, 7, 65_536, 1_000_000, 3_333]
  for (const [index, pauseEveryBytes] of [100_000, 1_000_000, Infinity].entries()) {
    const [up, down] = [randomBytes(6_000_000), randomBytes(6_000_000)]
    const client = await dial(t, relay.port, hello)
    const upstream = await backend.socket(index)
    const [, , fromServer, fromClient] = await Promise.all([
      sendInPieces(client, up, cuts),
      sendInPieces(upstream, down, cuts.toReversed()),
      hashSlowly(client, pauseEveryBytes),
      hashSlowly(upstream, pauseEveryBytes),
    ])
    t.same(fromServer, { hash: hashOf(down), byteLength: down.length })
    t.same(fromClient, { hash: hashOf(hello, up), byteLength: hello.length + up.length })
    t.match(await relay.record(index), { reason: 'completed', bytesFromDownstream: hello.length + up.length, bytesFromUpstream: down.length })
  }
  t.ok((relay.driver.counters().splices ?? 0) > 0, 'some of it went through pipes')
})

void test('payloads of any sizes, in any pieces, come back from an echo as they were sent', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port)])] })
  let connections = 0
  const pieces = fc.array(fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 200_000 }), fc.constantFrom(16_384, 65_535, 65_536, 65_537, 131_072)), { minLength: 1, maxLength: 8 })
  await fc.assert(fc.asyncProperty(fc.array(pieces, { minLength: 1, maxLength: 6 }), async (payloads) => {
    const endings = await Promise.all(payloads.map(async (lengths) => {
      const bytes = Buffer.concat([hello, randomBytes(lengths.reduce((sum, length) => sum + length, 0))])
      const client = await dial(t, relay.port)
      const [{ bytes: echoed, how }] = await Promise.all([readToEnd(client), sendInPieces(client, bytes, [hello.length, ...lengths])])
      return how === 'fin' && echoed.equals(bytes)
    }))
    connections += payloads.length
    await relay.record(connections - 1)
    return endings.every(Boolean)
  }), { numRuns: 15 })
  t.same(new Set(relay.records.map(({ reason }) => reason)), new Set(['completed']))
})

void test('a bulky flow does not starve an echo beside it on the same worker', async (t) => {
  const flood = Buffer.alloc(1024 * 1024, 7)
  const bulk = await startBackend(t, (socket) => {
    const pump = (): void => {
      while (!socket.destroyed && socket.write(flood));
    }
    socket.on('drain', pump)
    pump()
  })
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(bulk.port)]), tenant('globex', [endpoint(echo.port)])] })
  const greedy = await dial(t, relay.port, hello)
  greedy.resume()
  const echoHello = buildClientHello({ serverName: 'globex.example.test' })
  const client = await dial(t, relay.port, echoHello)
  await readBytes(client, echoHello.length)
  const before = relay.driver.counters().bytesFromUpstream
  for (let round = 0; round < 50; round++) {
    client.write('ping')
    t.equal((await readBytes(client, 4)).toString(), 'ping')
  }
  t.ok(relay.driver.counters().bytesFromUpstream - before > flood.length, 'and the flow went on meanwhile')
})
