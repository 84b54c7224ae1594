// What a gateway says of its sessions: of those that there are, and, in totals, of those that have ended too.

import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'tap'
import { sessionsPerNodeMax } from '../../src/tunnel/gateway/session-registry.ts'
import { dial, readBytes, readToEnd, until } from '../support/sockets.ts'
import { tunnelLab } from './tunnel-lab.ts'

void test('totals do not go back when sessions end', async (t) => {
  const lab = await tunnelLab(t)
  const { tunnel, url, ended } = await lab.gateway()
  t.match(tunnel.figures(), { sessions: 0, bytesSent: 0, framesSent: 0 })
  const agent = await lab.agent({ gateways: [url], token: await lab.token() })
  await agent.up()
  const client = await dial(t, agent.port, Buffer.alloc(100_000, 'x'))
  await readBytes(client, 100_000)
  await until(() => tunnel.figures().rttSumMs > 0)
  const live = tunnel.figures()
  t.match(live, { sessions: 1, streams: 1, streamsAccepted: 1, pingsOverdue: 0, resetsReceived: 0, handshakes: 0 })
  t.equal(live.rttCounts.reduce((sum, count) => sum + count), 1)
  t.ok(live.bytesReceived > 100_000 && live.bytesSent > 100_000, 'the heads, and what was sent')
  client.resetAndDestroy()
  await until(() => tunnel.figures().resetsReceived === 1)
  await agent.agent.stop()
  await until(() => ended.length === 1)
  const over = tunnel.figures()
  t.match(over, { sessions: 0, streams: 0, streamsAccepted: 1, resetsReceived: 1, rttSumMs: 0 })
  for (const name of ['bytesReceived', 'bytesSent', 'framesReceived', 'framesSent'] as const) t.ok(over[name] >= live[name], name)
})

void test('what waits for a reader that has stopped is seen', async (t) => {
  const lab = await tunnelLab(t)
  const { tunnel, url } = await lab.gateway()
  const agent = await lab.agent({ gateways: [url], token: await lab.token() })
  await agent.up()
  const client = await dial(t, agent.port, Buffer.alloc(16_000_000, 'x'))
  await until(() => tunnel.figures().sendQueueBytes > 0)
  const { sendQueueBytes, sendQueueBytesMax } = tunnel.figures()
  t.equal(sendQueueBytesMax, sendQueueBytes, 'there is one session')
  client.end()
  await readToEnd(client)
  await until(() => tunnel.figures().sendQueueBytes === 0)
})

void test('connections over the limit of handshakes are reset, and counted', async (t) => {
  const lab = await tunnelLab(t)
  const { tunnel, url } = await lab.gateway({ handshakesMax: 1 })
  const holding = connect({ host: '127.0.0.1', port: Number(url.port) })
  t.teardown(() => holding.destroy())
  await until(() => tunnel.figures().handshakes === 1)
  const [error] = await once(connect({ host: '127.0.0.1', port: Number(url.port) }), 'error')
  t.match(error, { code: 'ECONNRESET' })
  t.match(tunnel.figures(), { handshakes: 1, handshakesRefused: 1 })
  holding.destroy()
  await until(() => tunnel.figures().handshakes === 0)
  await (await lab.agent({ gateways: [url], token: await lab.token() })).up()
  t.match(tunnel.figures(), { sessions: 1, handshakesRefused: 1 })
})

void test('sessions that give way to newer ones of their node are counted', async (t) => {
  const lab = await tunnelLab(t)
  const { tunnel, url } = await lab.gateway()
  const token = await lab.token()
  for (let count = 0; count < sessionsPerNodeMax; count++) await (await lab.agent({ gateways: [url], token, node: 'twin' })).up()
  t.equal(tunnel.figures().sessionsEvicted, 0)
  await (await lab.agent({ gateways: [url], token, node: 'twin' })).up()
  await until(() => tunnel.figures().sessionsEvicted > 0)
  t.equal(tunnel.figures().sessions, sessionsPerNodeMax)
})
