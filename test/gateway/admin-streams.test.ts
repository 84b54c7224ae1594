// Streams of agents' sessions in the admin API: connections of their tenant, as those of the edge are.

import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { dial, readBytes, until } from '../support/sockets.ts'
import { tunnelPlace } from '../support/tunnel-place.ts'

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
    const api = async (method: string, path: string, body?: object): Promise<{ readonly status: number; readonly text: string }> => {
      const response = await fetch(`http://127.0.0.1:${gateway.adminAddress?.port}${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }) })
      return { status: response.status, text: await response.text() }
    }
    const streams = async (query = ''): Promise<readonly { readonly id: string }[]> => {
      const { connections }: { readonly connections: readonly { readonly id: string; readonly kind: string }[] } = JSON.parse((await api('GET', `/v1/connections?tenant=acme${query}`)).text)
      return connections.filter(({ kind }) => kind === 'stream')
    }
    const clients = [await open(), await open(), await dial(t, ports[1] ?? 0, Buffer.from('hello'))]
    const [, , other] = clients
    if (other === undefined) throw new Error('unreachable')
    await readBytes(other, 5)
    const listed = await streams()
    t.equal(listed.length, 3)
    t.match(listed[0], { kind: 'stream', phase: 'relaying', tenant: 'acme', client: /^127\.0\.0\.1:/, endpoint: /^127\.0\.0\.1:/, bytesFromDownstream: 5, bytesFromUpstream: 5, node: String })
    for (const client of clients.slice(0, 2)) client.resume()
    const [one] = listed
    t.equal((await api('DELETE', `/v1/connections/${one?.id}`)).status, 200)
    await until(() => clients.some(({ destroyed }) => destroyed))
    t.equal((await streams()).length, 2)
    while (await metric('sluice_tunnel_streams_total{end="closed-by-operator"}') !== 1) await delay(20)
    other.resume()
    t.equal((await api('POST', '/v1/tenants/acme/drain', { over: '200ms' })).status, 202)
    await until(() => lines.some(({ msg, how }) => msg === 'drain over' && how === 'done'))
    await until(() => clients.every(({ destroyed }) => destroyed))
    t.equal((await streams()).length, 0)
    while (await metric('sluice_tunnel_streams') !== 0) await delay(20)
    const again = await open()
    t.equal((await streams('&endpoint=127.0.0.1')).length, 1, 'the sessions go on, and so do new streams')
    again.end()
  })
}
