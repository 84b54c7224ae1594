// A connection on the node's side, through agent and gateway, to the API server: what TCP promises, the tunnel keeps.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'tap'
import { ProxyHeaderReader } from '../../src/core/proxy-protocol/reader.ts'
import { Counts } from '../core/balance/endpoints.ts'
import { endpoint } from '../support/config.ts'
import { dial, readBytes, readToEnd, startBackend, startFlood, startEcho, until } from '../support/sockets.ts'
import { unresponsivePort } from '../support/unresponsive-port.ts'
import { tunnelLab, type Lab, type TestAgent, type TestGateway } from './tunnel-lab.ts'

async function joined(lab: Lab, options: Parameters<Lab['gateway']>[0] = {}): Promise<{ readonly gateway: TestGateway; readonly agent: TestAgent }> {
  const gateway = await lab.gateway(options)
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token() })
  await agent.up()
  return { gateway, agent }
}

void test('bytes cross both ways, and FIN crosses as FIN with the other way going on', async (t) => {
  const lab = await tunnelLab(t)
  const backend = await startBackend(t)
  const { agent, gateway } = await joined(lab, { endpoints: [endpoint(backend.port)] })
  const client = await dial(t, agent.port, Buffer.from('hello'))
  const upstream = await backend.socket(0)
  t.equal((await readBytes(upstream, 5)).toString(), 'hello')
  client.end(' and goodbye')
  t.match(await readToEnd(upstream), { bytes: Buffer.from(' and goodbye'), how: 'fin' })
  upstream.end('the answer')
  t.match(await readToEnd(client), { bytes: Buffer.from('the answer'), how: 'fin' })
  await until(() => gateway.streams.length === 1 && agent.records.length === 1)
  t.match(gateway.streams[0], { status: 200, end: 'completed', toUpstreamBytes: 17, fromUpstreamBytes: 10 })
  t.match(agent.records[0], { status: 200, end: 'completed', toUpstreamBytes: 17, fromUpstreamBytes: 10 })
})

void test('bulk crosses whole, both ways at once', async (t) => {
  const lab = await tunnelLab(t)
  const { agent } = await joined(lab)
  const bytes = randomBytes(20_000_000)
  const client = await dial(t, agent.port)
  client.end(bytes)
  const { bytes: got, how } = await readToEnd(client)
  t.equal(how, 'fin')
  t.ok(got.equals(bytes))
})

void test('an endpoint may be a name: its addresses are tried, and one that has none is passed over', async (t) => {
  const lab = await tunnelLab(t)
  const { agent, gateway } = await joined(lab, { endpoints: [endpoint(1, { address: 'nowhere.invalid' }), endpoint(lab.echo.port, { address: 'localhost' })] })
  for (let count = 0; count < 2; count++) {
    const client = await dial(t, agent.port, Buffer.from('by name'))
    t.equal((await readBytes(client, 7)).toString(), 'by name')
    client.end()
  }
  await until(() => gateway.streams.length === 2)
  t.match(gateway.streams, [{ status: 200, end: 'completed' }, { status: 200, end: 'completed' }])
})

void test('who checks endpoints is told of one that has a stream’s bytes and closes, or resets, before any of its own; not where the client closes first', async (t) => {
  const lab = await tunnelLab(t)
  const backend = await startBackend(t, (socket) => void socket.once('data', (bytes: Buffer) => {
    if (bytes.toString() === 'close') socket.end()
    else if (bytes.toString() === 'reset') socket.resetAndDestroy()
    else socket.once('end', () => socket.end())
  }))
  const active = new Counts()
  const { agent, gateway } = await joined(lab, { endpoints: [endpoint(backend.port, { row: 0 })], scheduling: { active } })
  for (const [index, [what, failed]] of ([['close', 1], ['reset', 2], ['leave', 2]] as const).entries()) {
    const client = await dial(t, agent.port, Buffer.from(what))
    if (what === 'leave') client.end()
    await readToEnd(client)
    client.end()
    await until(() => gateway.streams.length === index + 1)
    t.equal(active.failedRows.length, failed, what)
  }
})

void test('a stream counts as one of its endpoint’s connections from the dial until its socket is closed, however that comes', async (t) => {
  const lab = await tunnelLab(t)
  const [echo, gone] = [await startEcho(t), await startEcho(t)]
  await gone.close()
  const silent = await unresponsivePort(t)
  const active = new Counts()
  const all = [gone.port, silent, echo.port].map((port, row) => endpoint(port, { row }))
  const { agent, gateway } = await joined(lab, { endpoints: all, overrides: { scheduler: 'lc', connectTimeoutMs: 1_500 }, scheduling: { active } })
  const clients = []
  for (let count = 0; count < 3; count++) {
    const client = await dial(t, agent.port, Buffer.from('x'))
    await readBytes(client, 1)
    clients.push(client)
  }
  t.same(active.rows, [0, 0, 3], 'what did not accept has none')
  t.same([...new Set(active.failedRows)].toSorted((left, right) => left - right), [0, 1], 'who checks endpoints is told of it')
  t.same(active.connectedRows, [2, 2, 2], 'and of each that was reached, for failures in a row')
  clients[0]?.end()
  clients[1]?.resetAndDestroy()
  await until(() => active.rows[2] === 1)
  echo.sockets[2]?.resetAndDestroy()
  await until(() => active.rows[2] === 0)
  const leaving = await dial(t, agent.port, Buffer.from('x'))
  await until(() => active.rows[1] === 1)
  leaving.resetAndDestroy()
  await until(() => active.rows[1] === 0)
  await until(() => gateway.streams.length === 4 && active.rows.every((count) => count === 0))
})

void test('streams balance as edge connections do', async (t) => {
  const lab = await tunnelLab(t)
  const backends = [await startEcho(t), await startEcho(t), await startEcho(t)]
  for (const [scheduler, weights, expected] of [['wrr', [2, 1, 0], [4, 2, 0]], ['wlc', [3, 2, 1], [3, 2, 1]], ['mh', [1, 1, 0], undefined], ['sh', [1, 1, 0], undefined]] as const) {
    const before = backends.map(({ sockets }) => sockets.length)
    const { agent } = await joined(lab, { endpoints: backends.map(({ port }, row) => endpoint(port, { weight: weights[row] ?? 0, row })), overrides: { scheduler }, scheduling: { active: new Counts() } })
    for (let count = 0; count < 6; count++) {
      const client = await dial(t, agent.port, Buffer.from('x'))
      await readBytes(client, 1)
      // One client alone: mh would pass it on.
      if (expected === undefined) client.end()
      if (expected === undefined) await readToEnd(client)
    }
    const opened = backends.map(({ sockets }, index) => sockets.length - (before[index] ?? 0))
    if (expected !== undefined) t.same(opened, expected, scheduler)
    else t.ok(opened.includes(6), `${scheduler}: all of one agent go to one endpoint: ${opened.join(' ')}`)
  }
})

void test('a reset crosses as a reset, either way', async (t) => {
  const lab = await tunnelLab(t)
  const backend = await startBackend(t)
  const { agent, gateway } = await joined(lab, { endpoints: [endpoint(backend.port)] })
  const [one, other] = [await dial(t, agent.port, Buffer.from('x')), await dial(t, agent.port, Buffer.from('x'))]
  const upstreams = [await backend.socket(0), await backend.socket(1)] as const
  await Promise.all(upstreams.map(async (upstream) => await readBytes(upstream, 1)))
  upstreams[0].resetAndDestroy()
  upstreams[1].write('y')
  const survivor = await Promise.race([readBytes(one, 1).then(() => other, () => other), readBytes(other, 1).then(() => other, () => one)])
  t.ok(survivor)
  one.resetAndDestroy()
  other.resetAndDestroy()
  t.match(await readToEnd(upstreams[1]), { how: 'ECONNRESET' })
  await until(() => gateway.streams.length === 2)
})

void test('an API server that refuses, or answers nothing: the client is reset, and the record says which', async (t) => {
  const lab = await tunnelLab(t)
  const gone = await startBackend(t)
  await gone.close()
  const cases = [
    { endpoints: [endpoint(gone.port)], status: 502, detail: /ECONNREFUSED/ },
    { endpoints: [endpoint(await unresponsivePort(t))], overrides: { connectTimeoutMs: 100 }, status: 504, detail: /no answer in 100 ms/ },
    { endpoints: [endpoint(gone.port, { weight: 0 })], status: 503, detail: /no endpoint/ },
  ]
  for (const { status, detail, ...options } of cases) {
    const { agent, gateway } = await joined(lab, options)
    const client = await dial(t, agent.port, Buffer.from('hello'))
    t.match(await readToEnd(client), { bytes: Buffer.alloc(0), how: 'ECONNRESET' }, String(status))
    await until(() => agent.records.length === 1 && gateway.streams.length === 1)
    t.match(agent.records[0], { status, end: 'refused' })
    t.match(gateway.streams[0], { status, end: 'refused', detail })
  }
})

void test('the next endpoint is tried, and what the client said early is not lost', async (t) => {
  const lab = await tunnelLab(t)
  const gone = await startBackend(t)
  await gone.close()
  const echo = await startEcho(t)
  const { agent } = await joined(lab, { endpoints: [endpoint(gone.port), endpoint(echo.port)] })
  for (let round = 0; round < 4; round++) {
    const client = await dial(t, agent.port, Buffer.from('early'))
    t.equal((await readBytes(client, 5)).toString(), 'early')
  }
})

void test('a PROXY header, where the tenant wants one', async (t) => {
  const lab = await tunnelLab(t)
  const backend = await startBackend(t)
  const { agent } = await joined(lab, { endpoints: [endpoint(backend.port)], overrides: { sendProxyProtocol: { version: 'v1' } } })
  await dial(t, agent.port, Buffer.from('hello'))
  const upstream = await backend.socket(0)
  const [bytes]: Buffer[] = await once(upstream, 'data')
  t.match(bytes?.toString(), /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\n/)
})

void test('a PROXY header of version 2 tells an id, of the session and the stream; each stream has its own', async (t) => {
  const lab = await tunnelLab(t)
  const backend = await startBackend(t)
  const { agent, gateway } = await joined(lab, { endpoints: [endpoint(backend.port)], overrides: { sendProxyProtocol: { version: 'v2', tlvs: ['authority', 'unique-id'] } } })
  const ids: string[] = []
  for (let index = 0; index < 2; index++) {
    await dial(t, agent.port, Buffer.from('hello'))
    const [bytes]: Buffer[] = await once(await backend.socket(index), 'data')
    const read = new ProxyHeaderReader().push(bytes ?? Buffer.alloc(0))
    if (read.kind !== 'complete') throw new Error(read.kind)
    t.equal(read.header.tlvs.authority, undefined)
    ids.push(Buffer.from(read.header.tlvs.uniqueId ?? []).toString())
  }
  t.equal(new Set(ids).size, 2)
  for (const id of ids) t.ok(id.startsWith(`${gateway.started[0]?.id}.`), id)
})

void test('a reader that stops holds its own stream, and what waits for it is bounded', async (t) => {
  const lab = await tunnelLab(t)
  const backend = await startFlood(t)
  const { agent, gateway } = await joined(lab, { endpoints: [endpoint(backend.port)] })
  const stopped = await dial(t, agent.port)
  stopped.pause()
  const sent = await backend.stalled()
  t.ok(sent < 64 * 1024 * 1024, `${sent} bytes`)
  t.equal(gateway.ended.length, 0)
  const other = await dial(t, agent.port)
  t.equal((await readBytes(other, 1_000_000)).length, 1_000_000, 'others go on')
})

void test('connections wait for a session that is about to come, and are reset where none comes', async (t) => {
  const lab = await tunnelLab(t)
  const reserved = await lab.gateway()
  const { url } = reserved
  await reserved.close()
  const agent = await lab.agent({ gateways: [url], token: await lab.token() })
  const early = await dial(t, agent.port, Buffer.from('early'))
  await lab.gateway({ port: Number(url.port) })
  t.equal((await readBytes(early, 5)).toString(), 'early')
  const never = await lab.agent({ gateways: [new URL('wss://localhost:1')] })
  const late = await dial(t, never.port, Buffer.from('late'))
  t.match(await readToEnd(late), { how: 'ECONNRESET' })
  t.match(never.records, [{ end: 'no-session', status: undefined }])
})

void test('many streams at once, and nothing is left of them', async (t) => {
  const lab = await tunnelLab(t)
  const { agent, gateway } = await joined(lab)
  await Promise.all(Array.from({ length: 300 }, async (_, index) => {
    const client = await dial(t, agent.port, Buffer.from(`stream ${index}`))
    client.end()
    t.equal((await readToEnd(client)).bytes.toString(), `stream ${index}`)
  }))
  await until(() => gateway.streams.length === 300 && agent.records.length === 300 && agent.agent.connectionCount === 0)
  t.equal(agent.agent.links[0]?.streamCount, 0)
})
