// Who gets a session, how it ends, and what the agent does then.

import { request } from 'node:https'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { sessionsPerNodeMax } from '../../src/tunnel/gateway/session-registry.ts'
import { dial, readBytes, readToEnd, until } from '../support/sockets.ts'
import { ca, tunnelLab } from './tunnel-lab.ts'

void test('a node enrols with a token, and comes again without', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const first = await lab.agent({ gateways: [gateway.url], token: await lab.token(), node: 'worker-1' })
  await first.up()
  t.match(gateway.started, [{ tenant: 'acme', node: 'worker-1', enrolled: true }])
  await first.agent.stop()
  await until(() => gateway.ended.length === 1)
  t.match(gateway.ended[0], { reason: 'closed' })
  const again = await lab.agent({ gateways: [gateway.url], node: 'worker-1' })
  await again.up()
  t.match(gateway.started[1], { node: 'worker-1', enrolled: false })
})

void test('who has no token, a wrong one, or one that is used up, is refused, and told why', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const used = await lab.token()
  await (await lab.agent({ gateways: [gateway.url], token: used })).up()
  const tokens: readonly (readonly [string | undefined, string])[] = [
    [undefined, 'node-unknown'],
    ['nonsense', 'malformed'],
    [used.replace(/.$/, (last) => last === 'A' ? 'B' : 'A'), 'token-unknown'],
    [used, 'token-used-up'],
  ]
  for (const [token, reason] of tokens) {
    const before = gateway.refused.length
    const agent = await lab.agent({ gateways: [gateway.url], token })
    await until(() => agent.refusals.length > 0)
    t.equal(agent.refusals[0], `401 ${reason}`)
    t.match(agent.agent.links[0]?.lastFault, { why: `401 ${reason}` })
    t.ok(gateway.refused.includes(reason, before))
    await agent.agent.stop()
  }
  t.equal(gateway.started.length, 1)
})

void test('where there are as many nodes as there may be, a token lets no other in; who is there goes on', async (t) => {
  const lab = await tunnelLab(t, { nodesMax: 1 })
  const gateway = await lab.gateway()
  const token = await lab.token(2)
  const first = await lab.agent({ gateways: [gateway.url], token, node: 'worker-1' })
  await first.up()
  const second = await lab.agent({ gateways: [gateway.url], token, node: 'worker-2' })
  await until(() => second.refusals.length > 0)
  t.equal(second.refusals[0], '503 too-many-nodes')
  t.same([gateway.refused[0], gateway.details[0]], ['too-many-nodes', 'there are 1 nodes, of at most 1, and none that is no longer needed'])
  await first.agent.stop()
  const again = await lab.agent({ gateways: [gateway.url], node: 'worker-1' })
  await again.up()
})

void test('a node that is revoked loses its session at once, and gets no other', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const watch = await lab.identities.watchRevocations((keyId) => gateway.tunnel.revoke(keyId), (why) => t.fail(why))
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token() })
  await agent.up()
  const client = await dial(t, agent.port, Buffer.from('x'))
  await readBytes(client, 1)
  await lab.identities.revokeNode(gateway.started[0]?.keyId ?? '')
  t.match(await readToEnd(client), { how: 'ECONNRESET' })
  await until(() => agent.refusals.length > 0)
  t.equal(agent.refusals[0], '401 node-revoked')
  watch.close()
})

void test('a gateway that the agent does not trust gets nothing from it', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token(), caPem: createCa('another CA').certificatePem })
  await until(() => agent.agent.links[0]?.state.kind === 'waiting')
  t.match(agent.agent.links[0]?.state, { why: /SELF_SIGNED|UNABLE_TO_VERIFY|unable to/ })
  t.same([gateway.started, gateway.refused], [[], []])
})

void test('a proof that was made for another connection is worth nothing', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const ask = async (headers: Record<string, string>): Promise<string> => await new Promise((resolve, reject) => {
    const asked = request(new URL('/v1/tunnel', gateway.url.href.replace('wss', 'https')), {
      ca: ca.certificatePem, headers: { 'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'), ...headers },
    })
    asked.on('response', (response) => {
      response.resume()
      response.on('end', () => resolve(String(response.statusCode)))
    })
    asked.on('upgrade', () => reject(new Error('upgraded')))
    asked.on('error', reject)
    asked.end()
  })
  const key = Buffer.alloc(32, 7).toString('base64url')
  t.equal(await ask({}), '401')
  t.equal(await ask({ 'Sluice-Node': 'node1', 'Sluice-Key': key, 'Sluice-Proof': Buffer.alloc(64).toString('base64url') }), '401')
  t.equal(await ask({ 'Sluice-Node': 'NODE 1', 'Sluice-Key': key, 'Sluice-Proof': Buffer.alloc(64).toString('base64url') }), '401')
  t.same(gateway.refused, ['malformed', 'proof-wrong', 'malformed'])
})

void test('new sessions come no faster than they may, and those that must wait come later', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ handshakesPerSecond: 2 })
  const token = await lab.token(4)
  const agents = await Promise.all(Array.from({ length: 4 }, async () => await lab.agent({ gateways: [gateway.url], token })))
  await until(() => gateway.refused.includes('paced'))
  await Promise.all(agents.map(async (agent) => await agent.up()))
  t.ok(agents.flatMap(({ refusals }) => refusals).every((why) => why === '503 paced'))
})

void test('a new session of a node is never refused because of an old one; the oldest gives way', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const token = await lab.token()
  for (let count = 0; count <= sessionsPerNodeMax; count++) await (await lab.agent({ gateways: [gateway.url], token, node: 'twin' })).up()
  await until(() => gateway.ended.length >= 1)
  t.match(gateway.ended[0], { reason: 'closed', detail: 'a newer session of the node takes its place' })
  t.equal(gateway.tunnel.figures().sessions, sessionsPerNodeMax)
})

void test('a gateway that drains is left before it closes: streams end by themselves, new ones go elsewhere', async (t) => {
  const lab = await tunnelLab(t)
  const [going, staying] = [await lab.gateway(), await lab.gateway()]
  const agent = await lab.agent({ gateways: [going.url], token: await lab.token(), node: 'mover' })
  await agent.up()
  const old = await dial(t, agent.port, Buffer.from('x'))
  await readBytes(old, 1)
  const drained = going.tunnel.drain()
  await until(() => agent.agent.links.some(({ state }) => state.kind === 'draining'))
  old.write('still here')
  t.equal((await readBytes(old, 10)).toString(), 'still here')
  old.end()
  await readToEnd(old)
  await drained
  const other = await lab.agent({ gateways: [going.url, staying.url], node: 'mover' })
  await other.up()
  await until(() => going.refused.includes('draining'))
  const client = await dial(t, other.port, Buffer.from('elsewhere'))
  t.equal((await readBytes(client, 9)).toString(), 'elsewhere')
  t.equal(staying.started.length, 1)
})

void test('a gateway that takes another’s place is used at once, while streams of the one before go on', async (t) => {
  const lab = await tunnelLab(t)
  const going = await lab.gateway()
  const agent = await lab.agent({ gateways: [going.url], token: await lab.token() })
  await agent.up()
  const old = await dial(t, agent.port, Buffer.from('x'))
  await readBytes(old, 1)
  const drained = going.tunnel.drain()
  going.leavePort()
  const next = await lab.gateway({ port: Number(going.url.port) })
  await until(() => next.started.length === 1)
  await agent.up()
  const client = await dial(t, agent.port, Buffer.from('new'))
  t.equal((await readBytes(client, 3)).toString(), 'new')
  t.match(agent.agent.links.map(({ state, streamCount }) => [state.kind, streamCount]), [['up', 1], ['draining', 1]])
  old.write('still here')
  t.equal((await readBytes(old, 10)).toString(), 'still here')
  old.end()
  await readToEnd(old)
  await drained
  await until(() => agent.agent.links.length === 1)
  t.equal(going.started.length, 1, 'the one that goes is not asked again')
})

void test('a drain ends streams that would go on for ever at their tenant’s time', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ overrides: { drainTimeoutMs: 200 } })
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token() })
  await agent.up()
  const client = await dial(t, agent.port, Buffer.from('x'))
  await readBytes(client, 1)
  const ending = readToEnd(client)
  await gateway.tunnel.drain()
  t.match(await ending, { how: 'ECONNRESET' })
  t.match(gateway.ended, [{ reason: 'closed', detail: 'the time to drain is over' }])
})

void test('a connection that does not become a session in time is closed, wherever it stopped; one that did is left alone', async (t) => {
  const lab = await tunnelLab(t)
  const { tunnel, url, sockets, ended } = await lab.gateway({ handshakeMsMax: 1_000 })
  const agent = await lab.agent({ gateways: [url], token: await lab.token() })
  await agent.up()
  const port = Number(url.port)
  const tls = (): TLSSocket => connectTls({ host: '127.0.0.1', port, servername: 'localhost', ca: ca.certificatePem })
  const stopped: readonly Socket[] = [connect({ host: '127.0.0.1', port }), tls(), tls(), tls()]
  const [, , inHead, refused] = stopped
  inHead?.write('GET /v1/tunnel HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
  // It is answered, and does not close.
  refused?.write('GET /v1/tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await Promise.all(stopped.map(async (socket) => await new Promise((resolve) => {
    socket.on('error', () => undefined)
    socket.on('close', resolve)
    socket.resume()
  })))
  await until(() => tunnel.figures().handshakes === 0)
  t.equal(sockets.size, 1)
  t.same(ended, [])
  const client = await dial(t, agent.port, Buffer.from('still here'))
  t.equal((await readBytes(client, 10)).toString(), 'still here')
})

void test('a gateway that stops has asked its last: who answers, as the store does, may go once it has stopped', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const agent = await lab.agent({ gateways: [gateway.url] })
  const admit = lab.identities.admit.bind(lab.identities)
  let [asked, isAnswered] = [false, false]
  let answer = (): void => undefined
  const held = new Promise<void>((resolve) => {
    answer = resolve
  })
  lab.identities.admit = async (claim) => {
    asked = true
    await held
    const admission = await admit(claim)
    isAnswered = true
    return admission
  }
  await until(() => asked)
  // The agent does not wait for its answer.
  await agent.agent.stop()
  await until(() => gateway.sockets.size === 0)
  const stopped = gateway.close().then(() => isAnswered)
  setTimeout(answer, 100)
  t.equal(await stopped, true)
})

void test('a session that is cut comes back by itself, and its streams are reset', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token() })
  await agent.up()
  const client = await dial(t, agent.port, Buffer.from('x'))
  await readBytes(client, 1)
  for (const socket of gateway.sockets) socket.destroy()
  t.match(await readToEnd(client), { how: 'ECONNRESET' })
  await until(() => gateway.started.length === 2)
  const again = await dial(t, agent.port, Buffer.from('again'))
  t.equal((await readBytes(again, 5)).toString(), 'again')
})
