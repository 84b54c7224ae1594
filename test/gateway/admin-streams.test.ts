// What the tunnel carries in the admin API: streams of agents' sessions, and API servers' connections to nodes, as connections of their tenant.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { socketFolder } from '../support/socket-folder.ts'
import { dial, readBytes, readToEnd, startEcho, until } from '../support/sockets.ts'
import { tunnelPlace, type TunnelPlace } from '../support/tunnel-place.ts'
import { ask, openSocket, reaching } from '../tunnel/egress-lab.ts'

async function api(gateway: TunnelPlace['gateway'], method: string, path: string, body?: object): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://127.0.0.1:${gateway.adminAddress?.port}${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }) })
  return { status: response.status, text: await response.text() }
}

async function listed(gateway: TunnelPlace['gateway'], query: string): Promise<readonly { readonly id: string }[]> {
  const { connections }: { readonly connections: readonly { readonly id: string }[] } = JSON.parse((await api(gateway, 'GET', `/v1/connections?${query}`)).text)
  return connections
}

for (const driver of ['linux', 'node'] as const) {
  void test(`${driver} driver: streams of agents are listed as connections of their tenant, closed, and drained`, { skip: driver === 'linux' && process.platform !== 'linux' }, async (t) => {
    const { gateway, identities, agent, lines, metric } = await tunnelPlace(t, { driver })
    const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 2 })
    const ports = [(await agent('first', token)).port, (await agent('second', token)).port]
    const open = async (): Promise<Awaited<ReturnType<typeof dial>>> => {
      const client = await dial(t, ports[0] ?? 0, Buffer.from('hello'))
      await readBytes(client, 5)
      return client
    }
    const streams = async (query = ''): Promise<readonly { readonly id: string }[]> => await listed(gateway, `tenant=acme&kind=stream${query}`)
    const clients = [await open(), await open(), await dial(t, ports[1] ?? 0, Buffer.from('hello'))]
    const [, , other] = clients
    if (other === undefined) throw new Error('unreachable')
    await readBytes(other, 5)
    const found = await streams()
    t.equal(found.length, 3)
    t.match(found[0], { kind: 'stream', phase: 'relaying', tenant: 'acme', client: /^127\.0\.0\.1:/, endpoint: /^127\.0\.0\.1:/, bytesFromDownstream: 5, bytesFromUpstream: 5, node: String })
    for (const client of clients.slice(0, 2)) client.resume()
    const [one] = found
    t.equal((await api(gateway, 'DELETE', `/v1/connections/${one?.id}`)).status, 200)
    await until(() => clients.some(({ destroyed }) => destroyed))
    t.equal((await streams()).length, 2)
    while (await metric('sluice_tunnel_streams_total{end="closed-by-operator"}') !== 1) await delay(20)
    other.resume()
    t.equal((await api(gateway, 'POST', '/v1/tenants/acme/drain', { over: '200ms' })).status, 202)
    await until(() => lines.some(({ msg, how }) => msg === 'drain over' && how === 'done'))
    await until(() => clients.every(({ destroyed }) => destroyed))
    t.equal((await streams()).length, 0)
    while (await metric('sluice_tunnel_streams') !== 0) await delay(20)
    const again = await open()
    t.equal((await streams('&endpoint=127.0.0.1')).length, 1, 'the sessions go on, and so do new streams')
    again.end()
  })
}

void test('connections of API servers to their nodes are listed and closed with the others of their tenant; a drain of the tenant leaves them', { skip: process.platform !== 'linux' }, async (t) => {
  const { gateway, identities, agent, lines, metric, writeEgress } = await tunnelPlace(t, { threads: 1, reverse: reaching() })
  const path = join(await socketFolder(t), 'acme.sock')
  writeEgress(`{ tenant: acme, socket: ${path} }`)
  t.match(await gateway.reload('a test'), { kind: 'reloaded' })
  await agent('worker-1', (await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 1 })).text)
  const target = `worker-1:${(await startEcho(t)).port}`
  const { line, socket } = await ask(await openSocket(t, path), target, 'hello')
  t.equal(line, 'HTTP/1.1 200 OK')
  await readBytes(socket, 5)
  const found = await listed(gateway, 'tenant=acme')
  t.match(found, [{ kind: 'egress', phase: 'relaying', egress: path, tenant: 'acme', target, node: 'worker-1', bytesFromDownstream: 5, bytesFromUpstream: 5 }])
  t.notOk(found.some((each) => 'client' in each), 'it came by a socket that has no address')
  t.same(await listed(gateway, 'kind=stream'), [])
  t.match(await api(gateway, 'GET', '/v1/connections?kind=streams'), { status: 400, text: /kind: .*one of connection, stream, egress/ })
  t.match(await api(gateway, 'POST', '/v1/tenants/acme/drain', { over: '1ms' }), { status: 202, text: /"connections":0\D/ })
  await until(() => lines.some(({ msg, how }) => msg === 'drain over' && how === 'done'))
  socket.write('again')
  t.equal((await readBytes(socket, 5)).toString(), 'again')
  const ended = readToEnd(socket)
  t.match(await api(gateway, 'DELETE', '/v1/connections?tenant=acme'), { status: 200, text: '{"closed":1}' })
  await ended
  while (await metric('sluice_egress_connections_total{end="closed-by-operator"}') !== 1) await delay(20)
})
