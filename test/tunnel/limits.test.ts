// Streams of the tunnel are their tenant's connections too.

import { test } from 'tap'
import { listenerWith, source, table } from '../core/limit/admission-table.ts'
import { countedLimits } from '../../src/core/limit/limits.ts'
import { endpoint, snapshotOf, tenant } from '../support/config.ts'
import { dial, readBytes, readToEnd, startEcho, until } from '../support/sockets.ts'
import { tunnelLab } from './tunnel-lab.ts'

void test('a tenant’s cap holds for streams and for connections of the edge together; one that ends makes room', async (t) => {
  const lab = await tunnelLab(t)
  const { threads: [edge, admission], figures } = table({ threads: 2 })
  if (edge === undefined || admission === undefined) throw new Error('unreachable')
  const limits = { connectionsMax: 2 }
  const gateway = await lab.gateway({ admission, overrides: { limits, limitRow: 1 } })
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token() })
  await agent.up()
  const acme = snapshotOf({ tenants: [tenant('acme', [])] }).tenants.get('acme')
  if (acme === undefined) throw new Error('unreachable')
  const hold = Number(edge.accept(listenerWith(), source('192.0.2.1')))
  t.equal(edge.tenant(hold, { ...acme, limitRow: 1, limits: countedLimits(limits) }, '192.0.2.1'), undefined)

  const first = await dial(t, agent.port, Buffer.from('x'))
  t.equal((await readBytes(first, 1)).toString(), 'x')
  const refused = await readToEnd(await dial(t, agent.port, Buffer.from('x')))
  t.equal(refused.how, 'ECONNRESET')
  await until(() => gateway.streams.length === 1)
  t.match(gateway.streams[0], { status: 503, end: 'refused', detail: 'tenant-connection-limit' })
  t.equal(lab.echo.sockets.length, 1, 'nobody was dialled for it')
  t.match(figures(), { openOfTenants: 2, openConnections: 1 })

  edge.leave(hold)
  const second = await dial(t, agent.port, Buffer.from('y'))
  t.equal((await readBytes(second, 1)).toString(), 'y')
  for (const client of [first, second]) client.destroy()
  await until(() => figures().openOfTenants === 0)
})

void test('a budget of retries holds for streams as for connections', async (t) => {
  const lab = await tunnelLab(t)
  const { threads: [admission], figures } = table()
  if (admission === undefined) throw new Error('unreachable')
  const gone = await startEcho(t)
  await gone.close()
  const endpoints = ['127.0.0.1', '127.0.0.2'].map((address) => endpoint(gone.port, { address }))
  const gateway = await lab.gateway({ admission, endpoints, overrides: { limitRow: 1, retryBudget: { percent: 1, reserve: 1, floorPerSecond: 0.001 } } })
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token() })
  await agent.up()
  for (let turn = 0; turn < 4; turn++) await readToEnd(await dial(t, agent.port, Buffer.from('x')))
  await until(() => gateway.streams.length === 4)
  t.match(figures(), { retries: 2, retriesRefused: 2 })
  t.match(gateway.streams[3], { status: 502, end: 'refused', detail: /^retry-budget: 127\.0\.0\.[12]:\d+: ECONNREFUSED$/ })
})

void test('a session that is lost gives back what its streams had', async (t) => {
  const lab = await tunnelLab(t)
  const { threads: [admission], figures } = table()
  if (admission === undefined) throw new Error('unreachable')
  const gateway = await lab.gateway({ admission, overrides: { limits: { connectionsMax: 3, connectionsPerSourceMax: 3 }, limitRow: 1 } })
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token() })
  await agent.up()
  for (let turn = 0; turn < 3; turn++) await readBytes(await dial(t, agent.port, Buffer.from('x')), 1)
  t.match(figures(), { openOfTenants: 3, tenantsWithConnections: 1 })
  for (const socket of gateway.sockets) socket.resetAndDestroy()
  await until(() => figures().openOfTenants === 0 && gateway.started.length === 2)
  t.equal((await readBytes(await dial(t, agent.port, Buffer.from('z')), 1)).toString(), 'z')
})
