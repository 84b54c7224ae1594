// A session's messages on a WebSocket: what waits for the connection arrives whole and in order, and a peer that does not read keeps no
// connection open.

import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { webSocketWire } from '../../src/tunnel/websocket-wire.ts'
import { until } from '../support/sockets.ts'

async function place(t: Test) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  t.teardown(() => server.close())
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const near = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, { perMessageDeflate: false })
  t.teardown(() => near.terminate())
  const upgrading = once(near, 'upgrade')
  await once(near, 'open')
  const [upgraded]: IncomingMessage[] = await upgrading
  const [far]: WebSocket[] = await accepted
  if (upgraded === undefined || far === undefined) throw new Error('unreachable')
  t.teardown(() => far.terminate())
  return { near, far, wire: webSocketWire(near, upgraded.socket, 'client') }
}

/** A message that is told apart from every other. */
function message(index: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => (index * 7 + at * 13) & 0xff)
}

const ignored = (): void => undefined

void test('messages of any size that wait for the connection arrive whole and in order', async (t) => {
  const { far, wire } = await place(t)
  const received: Buffer[] = []
  far.on('message', (bytes: Buffer) => received.push(bytes))
  const sizes = Array.from({ length: 400 }, (_, index) => [1, 125, 126, 4_000, wire.messageBytesMax][index % 5] ?? 0)
  const sent = sizes.map((bytes, index) => message(index, bytes))
  far.pause()
  for (const each of sent) {
    // In two parts, which are the caller's again after the call.
    const [head, body] = [each.slice(0, 1), each.slice(1)]
    wire.write([head, body], each.length, ignored)
    head.fill(0)
    body.fill(0)
  }
  t.ok(wire.unsentBytes > 0, 'some of it waits')
  far.resume()
  await until(() => received.length === sent.length)
  t.ok(received.every((bytes, index) => bytes.equals(sent[index] ?? new Uint8Array())))
  await until(() => wire.unsentBytes === 0)
})

void test('the close comes behind what was written', async (t) => {
  const { far, wire } = await place(t)
  let receivedBytes = 0
  far.on('message', (bytes: Buffer) => {
    receivedBytes += bytes.length
  })
  for (let index = 0; index < 20; index += 1) wire.write([message(index, wire.messageBytesMax)], wire.messageBytesMax, ignored)
  wire.close()
  const [code]: number[] = await once(far, 'close')
  t.equal(code, 1000)
  t.equal(receivedBytes, 20 * wire.messageBytesMax)
})

void test('a peer that does not read keeps no connection open', async (t) => {
  const { near, far, wire } = await place(t)
  far.pause()
  // More than the system's buffers of both ends hold.
  for (let index = 0; index < 2_000; index += 1) wire.write([message(index, wire.messageBytesMax)], wire.messageBytesMax, ignored)
  t.ok(wire.unsentBytes > 0, 'some of it waits')
  wire.close()
  await once(near, 'close')
})
