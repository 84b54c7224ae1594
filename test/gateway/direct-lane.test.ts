// The direct lane with a real gateway and agent, on both drivers: granted with the session, used where it works, left where not.

import { randomBytes } from 'node:crypto'
import { connect, createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { dial, readBytes, readToEnd, until } from '../support/sockets.ts'
import { tunnelPlace, type TunnelPlace, type TunnelPlaceOptions } from '../support/tunnel-place.ts'

async function joined(t: Test, options: TunnelPlaceOptions): Promise<TunnelPlace & { readonly port: number; readonly records: Awaited<ReturnType<TunnelPlace['agent']>>['records']; readonly direct: () => Promise<void> }> {
  const place = await tunnelPlace(t, options)
  const { text: token } = await place.identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 1 })
  const { port, records } = await place.agent('node1', token)
  return { ...place, port, records, direct: async () => {
    // The grant comes right behind the session.
    while (records.every(({ lane }) => lane !== 'direct')) {
      const client = await dial(t, port, Buffer.from('x'))
      await readBytes(client, 1)
      client.end()
      await readToEnd(client)
      await delay(20)
    }
  } }
}

for (const driver of ['linux', 'node'] as const) {
  const skip = driver === 'linux' && process.platform !== 'linux'

  void test(`${driver} driver: connections take the direct lane, and no stream is opened`, { skip }, async (t) => {
    const { port, records, direct, metric } = await joined(t, { driver, lane: 'auto' })
    await direct()
    const bytes = randomBytes(500_000)
    const client = await dial(t, port)
    const received = readToEnd(client)
    client.end(bytes)
    t.ok((await received).bytes.equals(bytes))
    await until(() => records.at(-1)?.toUpstreamBytes === bytes.length)
    t.match(records.at(-1), { lane: 'direct', status: 200, end: 'completed', fromUpstreamBytes: bytes.length })
    t.equal(await metric('sluice_tunnel_streams'), 0)
  })

  void test(`${driver} driver: a node that is revoked loses its direct connections too`, { skip }, async (t) => {
    const { port, identities } = await joined(t, { driver, lane: 'direct' })
    const client = await retried(t, port)
    const [node] = await identities.nodes()
    await identities.revokeNode(node?.keyId ?? '')
    t.match(await readToEnd(client), { how: 'ECONNRESET' })
  })

  void test(`${driver} driver: where the gateway has no direct lane, auto goes through the session`, { skip }, async (t) => {
    const { port, records } = await joined(t, { driver, lane: 'auto', tunnel: 'directLane: false, ' })
    const client = await dial(t, port, Buffer.from('hello'))
    t.equal((await readBytes(client, 5)).toString(), 'hello')
    client.end()
    await readToEnd(client)
    await until(() => records.length === 1)
    t.match(records, [{ lane: 'mux', status: 200, end: 'completed' }])
  })

  void test(`${driver} driver: what can’t reach its API server is told the same by either lane`, { skip }, async (t) => {
    const { port, records } = await joined(t, { driver, lane: 'auto', port: 1 })
    await delay(300)
    const client = await dial(t, port, Buffer.from('hello'))
    t.match(await readToEnd(client), { how: 'ECONNRESET' })
    t.match(records, [{ lane: 'mux', status: 502, end: 'refused' }])
  })
}

void test('where something on the way lets only TLS through, auto goes through the session, and leaves the lane alone', async (t) => {
  const place = await tunnelPlace(t, { lane: 'auto' })
  const behind = place.gateway.listeners[0]?.address.port ?? 0
  const seen: string[] = []
  // A middlebox: it looks at the first byte.
  const middlebox = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (first: Buffer) => {
      seen.push(first[0] === 0x16 ? 'TLS' : 'other')
      if (first[0] !== 0x16) {
        socket.resetAndDestroy()
        return
      }
      const onward = connect({ port: behind, host: '127.0.0.1' })
      onward.on('error', () => socket.destroy())
      onward.write(first)
      socket.pipe(onward)
      onward.pipe(socket)
      t.teardown(() => onward.destroy())
    })
  })
  middlebox.listen(0, '127.0.0.1')
  await once(middlebox, 'listening')
  t.teardown(() => middlebox.close())
  const at = middlebox.address()
  const { text: token } = await place.identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 1 })
  const { port, records } = await place.agent('node1', token, typeof at === 'object' && at !== null ? at.port : 0)
  while (!seen.includes('other')) {
    const client = await dial(t, port, Buffer.from('hello'))
    t.equal((await readBytes(client, 5)).toString(), 'hello')
    client.end()
    await readToEnd(client)
  }
  for (let count = 0; count < 3; count++) {
    const client = await dial(t, port, Buffer.from('hello'))
    t.equal((await readBytes(client, 5)).toString(), 'hello')
    client.end()
    await readToEnd(client)
  }
  t.equal(seen.filter((each) => each === 'other').length, 1)
  t.ok(records.every(({ lane, end }) => lane === 'mux' && end === 'completed'))
})

/** `direct` has no other way: until the grant is there, connections are reset. */
async function retried(t: Test, port: number): Promise<Socket> {
  for (;;) {
    const client = await dial(t, port, Buffer.from('x'))
    client.on('error', () => undefined)
    const answered = await Promise.race([once(client, 'readable').then(() => client.read(1) !== null, () => false), once(client, 'close').then(() => false, () => false)])
    if (answered) return client
    await delay(50)
  }
}
