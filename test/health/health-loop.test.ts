// Which checks are under way at once, and who waits for whom.

import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'tap'
import type { CheckTarget } from '../../src/core/balance/endpoint-register.ts'
import type { HealthKind, HealthSpec } from '../../src/core/health/health-spec.ts'
import { HealthLoop, type HealthNews } from '../../src/health/health-loop.ts'
import { until } from '../support/sockets.ts'

const spec: Omit<HealthSpec, 'kind'> = { intervalMs: 600_000, timeoutMs: 60_000, fall: 3, rise: 2, slowStartMs: 0 }

void test('endpoints that answer no handshake delay each other, and no check of a connection', async (t) => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const made = new Map<string, number>()
  let waiting = 0
  const loop = new HealthLoop({
    folder: '/',
    updated: (news: HealthNews) => {
      waiting = news.waiting
      for (const { kind, result, count } of news.made) made.set(`${kind} ${result}`, (made.get(`${kind} ${result}`) ?? 0) + count)
    },
  })
  t.teardown(() => {
    loop.close()
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const targets = (first: number, count: number, kind: HealthKind): CheckTarget[] =>
    Array.from({ length: count }, (_, index) => ({ id: first + index, address: '127.0.0.1', port, health: { ...spec, kind } }))

  loop.change({ added: targets(0, 600, 'tls'), removed: [], down: [] })
  await until(() => waiting === 600 - 512)
  loop.change({ added: targets(600, 1, 'tcp'), removed: [], down: [] })
  await until(() => made.get('tcp passed') === 1)
  t.equal(made.get('tls failed'), undefined, 'all 512 are still under way')

  for (const socket of sockets) socket.resetAndDestroy()
  server.on('connection', (socket: Socket) => socket.resetAndDestroy())
  await until(() => waiting === 0 && (made.get('tls failed') ?? 0) >= 600)
  t.pass('those that waited have had their turn')
})
