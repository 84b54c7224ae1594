// Sessions that are elsewhere: on another thread of the gateway, and on another gateway of the installation.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { MessageChannel } from 'node:worker_threads'
import { test, type Test } from 'tap'
import { WindowBudget } from '../../src/core/mux/window.ts'
import type { PeerGateway } from '../../src/core/tunnel/presence-record.ts'
import { peerPath } from '../../src/tunnel/egress/peer-link.ts'
import { provePeer, type OwnIdentity } from '../../src/tunnel/egress/peer-identity.ts'
import { ThreadLink } from '../../src/tunnel/egress/thread-link.ts'
import { openTcp, openTls } from '../../src/tunnel/open-connection.ts'
import { changeOf, endpoint, tenant } from '../support/config.ts'
import { freePort } from '../../bench/free-port.ts'
import { socketFolder } from '../support/socket-folder.ts'
import { readBytes, readToEnd, startBackend, startFlood, until } from '../support/sockets.ts'
import { unresponsivePort } from '../support/unresponsive-port.ts'
import { ask, nodeHere, openSocket, reaching, type Answer } from './egress-lab.ts'
import { serverCertificate, tunnelLab, type Lab, type TestGateway } from './tunnel-lab.ts'

/** The session of the gateway's that began last. */
function lastSession({ started }: TestGateway): TestGateway['started'][number] {
  const session = started.at(-1)
  if (session === undefined) throw new Error('no session')
  return session
}

interface Place {
  readonly lab: Lab
  /** Has the egress, for the tenant acme. */
  readonly front: TestGateway
  /** Has the agents. */
  readonly back: TestGateway
  /** A new connection of the API server asks for this. */
  readonly request: (target: string, early?: string) => Promise<Answer>
}

/** Two threads of one gateway. */
async function threads(t: Test): Promise<Place & { readonly link: () => MessageChannel }> {
  const lab = await tunnelLab(t)
  const [front, back] = [await lab.gateway(), await lab.gateway()]
  const link = (): MessageChannel => {
    const channel = new MessageChannel()
    front.tunnel.linkThread(1, channel.port1, 'client')
    back.tunnel.linkThread(0, channel.port2, 'server')
    return channel
  }
  const path = join(await socketFolder(t), 'acme.sock')
  await front.tunnel.openEgress([{ kind: 'socket', path, tenant: 'acme' }])
  return { lab, front, back, link, request: async (target, early) => await ask(await openSocket(t, path), target, early) }
}

void test('a session of another thread is reached by the link to it: bytes, FIN, and the agent’s own answer', async (t) => {
  const { lab, front, back, link, request } = await threads(t)
  link()
  await nodeHere(lab, [back], 'worker-1')
  t.equal((await request(`worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 503 no agent of acme is connected', 'not before it is known')
  front.tunnel.seen(lastSession(back), { kind: 'thread', thread: 1 })
  const bytes = randomBytes(5_000_000)
  const { line, socket } = await request(`worker-1:${lab.echo.port}`)
  t.equal(line, 'HTTP/1.1 200 OK')
  socket.end(bytes)
  const { bytes: got, how } = await readToEnd(socket)
  t.equal(how, 'fin')
  t.ok(got.equals(bytes))
  const closed = await freePort()
  t.equal((await request(`worker-1:${closed}`)).line, `HTTP/1.1 502 worker-1: worker-1:${closed}: 127.0.0.1:${closed}: ECONNREFUSED`)
  t.match(front.egress.at(-1), { node: 'worker-1', attempts: 1 })
  t.same(back.egress, [], 'who has the egress tells of it')
  front.tunnel.gone(lastSession(back).id)
  t.match((await request(`worker-1:${lab.echo.port}`)).line, /^HTTP\/1\.1 503 no agent of acme/)
})

void test('the other thread opens what is the tenant’s alone, and only while it has it', async (t) => {
  const { lab, front, back, link, request } = await threads(t)
  link()
  front.tunnel.publish(changeOf({ version: 2, tenants: ['acme', 'globex'].map((name) => tenant(name, [endpoint(lab.echo.port)])) }))
  back.tunnel.publish(changeOf({ version: 2, tenants: ['acme', 'globex'].map((name) => tenant(name, [endpoint(lab.echo.port)])) }))
  await nodeHere(lab, [back], 'worker-1', { tenant: 'globex' })
  const { id } = lastSession(back)
  // A thread that takes it for acme's is wrong, and told so.
  const facts = { id, tenant: 'acme', keyId: 'k', node: 'worker-1', sinceMs: 0, announced: { addresses: [], ranges: [], names: [] } }
  front.tunnel.seen(facts, { kind: 'thread', thread: 1 })
  t.equal((await request(`worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 503 worker-1: its session ended')
  front.tunnel.seen({ ...facts, id: `${id}0` }, { kind: 'thread', thread: 1 })
  t.equal((await request(`worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 503 worker-1: its session ended')
  t.equal(lab.echo.sockets.length, 0)
})

void test('a head that is not whole when the other thread ends its side, or is none, is answered so, and nothing of the stream is left', async (t) => {
  const { back } = await threads(t)
  const { port1, port2 } = new MessageChannel()
  back.tunnel.linkThread(0, port2, 'server')
  const link = new ThreadLink({ port: port1, role: 'client', budget: new WindowBudget(), relayed: () => ({ data: () => undefined, finished: () => undefined, reset: () => undefined, writable: () => undefined }) })
  t.teardown(() => link.close())
  for (const [why, said, answer] of [
    ['half of a head', 'CONNECT worker-1:10250 HTTP/1.1\r\nSluice-Tenant: acme\r\n', 'HTTP/1.1 400 FIN before the head was whole\r\n\r\n'],
    ['nothing', '', 'HTTP/1.1 400 FIN before the head was whole\r\n\r\n'],
    ['no session', 'CONNECT worker-1:10250 HTTP/1.1\r\n\r\n', 'HTTP/1.1 400 no CONNECT with a session\r\n\r\n'],
    ['no text', '\0\r\n\r\n', 'HTTP/1.1 400 a head with bytes that are no text\r\n\r\n'],
  ] as const) {
    const heard: string[] = []
    const stream = link.open({ data: (bytes) => heard.push(Buffer.from(bytes).toString()), finished: () => heard.push('FIN'), reset: () => heard.push('RST'), writable: () => undefined })
    stream?.write(Buffer.from(said))
    stream?.finish()
    await until(() => stream?.closed === true)
    t.same(heard, [answer, 'FIN'], why)
  }
})

void test('who does not answer at all is given up, and the next agent is asked', async (t) => {
  const { lab, front, request } = await threads(t)
  const { port1, port2 } = new MessageChannel()
  t.teardown(() => port2.close())
  front.tunnel.linkThread(7, port1, 'client')
  front.tunnel.seen({ id: 'mute', tenant: 'acme', keyId: 'mute', node: 'mute', sinceMs: 0, announced: { addresses: ['10.96.0.1'], ranges: [], names: [] } }, { kind: 'thread', thread: 7 })
  const announce = ['10.96.0.0/12']
  await nodeHere(lab, [front], 'worker-1', { reverse: reaching({ announce, allow: [] }) })
  t.equal((await request('10.96.0.1:1')).line, 'HTTP/1.1 504 mute: its agent did not answer in 8 s', 'what says more of the destination is told')
  t.match(front.egress, [{ status: 504, refusal: 'timeout', node: 'worker-1', attempts: 2 }])
})

void test('between threads, resets cross and a reader that stops holds its own connection alone', async (t) => {
  const { lab, front, back, link, request } = await threads(t)
  link()
  const agent = await nodeHere(lab, [back], 'worker-1', { reverse: reaching({ dialTimeoutMs: 7_000 }) })
  front.tunnel.seen(lastSession(back), { kind: 'thread', thread: 1 })
  const flood = await startFlood(t)
  const { socket: stopped } = await request(`worker-1:${flood.port}`, 'x')
  stopped.pause()
  const sent = await flood.stalled()
  t.ok(sent < 100 * 1024 * 1024, `${sent} bytes`)
  const { socket: other } = await request(`worker-1:${lab.echo.port}`)
  const bytes = randomBytes(1_000_000)
  other.end(bytes)
  t.ok((await readToEnd(other)).bytes.equals(bytes), 'others go on')
  const flooder = await flood.socket(0)
  stopped.destroy()
  await until(() => flooder.destroyed)
  const backend = await startBackend(t)
  const { socket: broken } = await request(`worker-1:${backend.port}`, 'x')
  const breaker = await backend.socket(0)
  await readBytes(breaker, 1)
  breaker.resetAndDestroy()
  await readToEnd(broken)
  await until(() => front.egress.length === 3 && agent.reversed.length === 3)
  t.match(front.egress.map(({ end }) => end), ['completed', 'socket-reset', 'stream-reset'])
  await until(() => agent.agent.links[0]?.streamCount === 0)
})

void test('a thread that dies: its connections are told at once, and the next agent is asked from then on', async (t) => {
  const { lab, front, back, link, request } = await threads(t)
  const { port2 } = link()
  const announce = ['10.96.0.0/12']
  await nodeHere(lab, [back], 'worker-1', { reverse: reaching({ announce, allow: [] }), addresses: ['10.96.0.1'] })
  await nodeHere(lab, [back], 'worker-2')
  const [far, here] = back.started
  if (far === undefined || here === undefined) throw new Error('no session')
  front.tunnel.seen(far, { kind: 'thread', thread: 1 })
  front.tunnel.seen(here, { kind: 'thread', thread: 1 })
  await nodeHere(lab, [front], 'worker-3', { reverse: reaching({ announce, allow: [] }) })
  await request('10.96.0.1:1')
  t.match(front.egress.at(-1), { status: 403, attempts: 2 }, 'both may be asked')
  const { socket } = await request(`worker-2:${lab.echo.port}`, 'x')
  await readBytes(socket, 1)
  port2.close()
  await readToEnd(socket)
  await until(() => front.egress.length === 2)
  t.match(front.egress[1], { end: 'stream-reset', node: 'worker-2' })
  t.equal((await request('10.96.0.1:1')).line, 'HTTP/1.1 403 worker-3: 10.96.0.1, port 1: not in reverse.allow')
  t.equal((await request(`worker-2:${lab.echo.port}`)).line, 'HTTP/1.1 503 worker-2: its session takes no stream now')
  link()
  const { socket: again } = await request(`worker-2:${lab.echo.port}`, 'again')
  t.equal((await readBytes(again, 5)).toString(), 'again', 'another thread in its place is linked anew')
})

/** As a gateway makes it when it starts. */
function identity(id: string): OwnIdentity {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { id, publicKey: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'), privateKey }
}

/** As the store has it. */
function inStore({ id, publicKey }: OwnIdentity, { url }: TestGateway): PeerGateway {
  return { id, publicKey, at: { host: '127.0.0.1', port: Number(url.port) } }
}

interface Peering extends Place {
  readonly fronts: OwnIdentity
  readonly backs: OwnIdentity
}

/** Two gateways; neither knows of the other yet. */
async function gateways(t: Test): Promise<Peering> {
  const lab = await tunnelLab(t)
  const [fronts, backs] = [identity('front'), identity('back')]
  const [front, back] = [await lab.gateway({ peering: { own: fronts, tunnelHostname: 'localhost' } }), await lab.gateway({ peering: { own: backs, tunnelHostname: 'localhost' } })]
  const path = join(await socketFolder(t), 'acme.sock')
  await front.tunnel.openEgress([{ kind: 'socket', path, tenant: 'acme' }])
  return { lab, front, back, fronts, backs, request: async (target, early) => await ask(await openSocket(t, path), target, early) }
}

/** Each knows the other, and the front one the back one's last session. */
async function linked({ front, back, fronts, backs }: Peering): Promise<void> {
  back.tunnel.gatewaySeen(inStore(fronts, front))
  front.tunnel.gatewaySeen(inStore(backs, back))
  await until(() => front.tunnel.figures().peerLinks === 1)
}

void test('a session of another gateway is reached by the link to it', async (t) => {
  const place = await gateways(t)
  const { lab, front, back, request } = place
  await linked(place)
  await nodeHere(lab, [back], 'worker-1')
  front.tunnel.seen(lastSession(back), { kind: 'gateway', id: 'back' })
  const bytes = randomBytes(5_000_000)
  const { line, socket } = await request(`worker-1:${lab.echo.port}`)
  t.equal(line, 'HTTP/1.1 200 OK')
  socket.end(bytes)
  t.ok((await readToEnd(socket)).bytes.equals(bytes))
  t.match((await request('worker-1:0')).line, /^HTTP\/1\.1 403 worker-1: /)
  t.match(front.egress, [{ node: 'worker-1', status: 200, end: 'completed', toNodeBytes: bytes.length, fromNodeBytes: bytes.length }, { node: 'worker-1', status: 403 }])
  t.same(back.egress, [])
  t.same(front.peerLinks, [{ id: 'back', why: undefined }])
})

void test('a gateway that drains does not wait longer than its tenant’s time for what goes by another gateway', async (t) => {
  const place = await gateways(t)
  const { lab, front, back, request } = place
  await linked(place)
  await nodeHere(lab, [back], 'worker-1')
  front.tunnel.seen(lastSession(back), { kind: 'gateway', id: 'back' })
  const { socket } = await request(`worker-1:${lab.echo.port}`, 'x')
  await readBytes(socket, 1)
  front.tunnel.publish(changeOf({ version: 2, tenants: [{ ...tenant('acme', [endpoint(lab.echo.port)]), drainTimeoutMs: 500 }] }))
  const ended = readToEnd(socket)
  await front.tunnel.drain()
  await ended
  t.match(front.egress, [{ node: 'worker-1', status: 200, end: 'socket-reset' }])
  t.equal(back.tunnel.figures().sessions, 1, 'the session is not this one’s to end')
})

void test('of a session of its own and one elsewhere, a gateway asks its own', async (t) => {
  const place = await gateways(t)
  const { lab, front, back, request } = place
  await linked(place)
  const agent = await nodeHere(lab, [front, back], 'worker-1')
  front.tunnel.seen(lastSession(back), { kind: 'gateway', id: 'back' })
  for (let count = 0; count < 8; count++) t.equal((await request(`worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 200 OK')
  t.same(Object.fromEntries(agent.agent.links.map(({ gateway, streamCount }) => [gateway, streamCount])), { [front.url.host]: 8, [back.url.host]: 0 })
  for (const connection of front.sockets) connection.destroy()
  await until(() => front.ended.length === 1)
  const { line } = await request(`worker-1:${lab.echo.port}`)
  t.equal(line, 'HTTP/1.1 200 OK', `the other one, when its own is gone: ${JSON.stringify({ asked: front.egress.at(-1), links: front.peerLinks, ended: back.ended, dialled: agent.reversed.at(-1) })}`)
})

void test('a gateway whose peer is not in the store, or has another key there, has no link', async (t) => {
  const place = await gateways(t)
  const { front, back, fronts, backs } = place
  // The other one does not know who asks.
  front.tunnel.gatewaySeen(inStore(backs, back))
  await until(() => front.peerLinks.length > 0)
  t.same(front.peerLinks[0], { id: 'back', why: 'gateway back answered 401' })
  t.equal(back.refused[0], 'not-a-peer')
  // It knows another key: who asks has not proven that one.
  back.tunnel.gatewaySeen({ ...inStore(fronts, front), publicKey: identity('x').publicKey })
  const before = back.refused.length
  await until(() => back.refused.length > before + 1)
  t.equal(front.tunnel.figures().peerLinks, 0)
  // Who asks knows another key: who answers has not proven that one.
  back.tunnel.gatewaySeen(inStore(fronts, front))
  front.tunnel.gatewaySeen({ ...inStore(backs, back), publicKey: identity('x').publicKey })
  await until(() => front.peerLinks.some(({ why }) => why === 'gateway back has not proven its key'))
  t.equal(front.tunnel.figures().peerLinks, 0)
  t.ok([...front.peerLinks, ...back.peerLinks].filter(({ id }) => id === 'back').every(({ why }) => why !== undefined))
})

void test('a gateway that is one too many is linked when another is gone', async (t) => {
  const place = await gateways(t)
  const { front, back, fronts, backs } = place
  const port = await freePort()
  const others = Array.from({ length: 64 }, (_, index) => ({ ...inStore(identity(`other-${index}`), front), at: { host: '127.0.0.1', port } }))
  for (const other of others) front.tunnel.gatewaySeen(other)
  back.tunnel.gatewaySeen(inStore(fronts, front))
  front.tunnel.gatewaySeen(inStore(identity('early'), back))
  front.tunnel.gatewaySeen(inStore(backs, back))
  t.match(front.peerLinks.find(({ id }) => id === 'back'), { why: '64 other gateways are linked already' })
  front.tunnel.gatewayGone('early')
  front.tunnel.gatewayGone('other-7')
  await until(() => front.tunnel.figures().peerLinks === 1)
  t.same(front.peerLinks.findLast(({ id }) => id === 'back'), { id: 'back', why: undefined })
})

void test('a gateway at whose address another one answers has no link', async (t) => {
  const place = await gateways(t)
  const { lab, front, fronts, backs } = place
  const impostor = await lab.gateway({ peering: { own: { ...identity('back') }, tunnelHostname: 'localhost' } })
  impostor.tunnel.gatewaySeen(inStore(fronts, front))
  front.tunnel.gatewaySeen(inStore(backs, impostor))
  await until(() => front.peerLinks.length > 0)
  t.same(front.peerLinks[0], { id: 'back', why: 'gateway back has not proven its key' })
  const alone = await lab.gateway()
  front.tunnel.gatewaySeen({ ...inStore(identity('alone'), alone) })
  await until(() => front.peerLinks.some(({ id }) => id === 'alone'))
  t.match(front.peerLinks.find(({ id }) => id === 'alone'), { why: 'gateway alone answered 401' }, 'nor with one that has no peers')
})

/** A link that is asked for by hand. */
async function askForLink(t: Test, { url }: TestGateway, headers: (tls: Awaited<ReturnType<typeof openTls>>) => Readonly<Record<string, string>>): Promise<string> {
  const signal = AbortSignal.timeout(10_000)
  const at = { host: 'localhost', port: Number(url.port), title: 'the gateway' }
  const tls = await openTls(await openTcp({ ...at, host: '127.0.0.1' }, signal), at, { caPem: undefined, signal, mustBeTrusted: false })
  t.teardown(() => tls.destroy())
  tls.on('error', () => undefined)
  const lines = Object.entries({ 'Host': 'localhost', 'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'), ...headers(tls) }).map(([name, value]) => `${name}: ${value}\r\n`)
  tls.write(`GET ${peerPath} HTTP/1.1\r\n${lines.join('')}\r\n`)
  let head = ''
  while (!head.endsWith('\r\n')) head += (await readBytes(tls, 1)).toString('latin1')
  return head.trimEnd()
}

void test('only its own proof, made for this gateway on this connection, lets a gateway in', async (t) => {
  const { front, back, fronts, backs } = await gateways(t)
  back.tunnel.gatewaySeen(inStore(fronts, front))
  const refusal = 'HTTP/1.1 401 Unauthorized'
  const stranger = identity('stranger')
  let captured = ''
  t.equal(await askForLink(t, back, (tls) => {
    captured = provePeer(tls, fronts, 'back', 'client')
    return { 'Sluice-Gateway': 'front', 'Sluice-Proof': captured }
  }), 'HTTP/1.1 101 Switching Protocols')
  const cases: readonly (readonly [what: string, headers: Parameters<typeof askForLink>[2]])[] = [
    ['nothing', () => ({})],
    ['no proof', () => ({ 'Sluice-Gateway': 'front' })],
    ['a stranger with a key of its own', (tls) => ({ 'Sluice-Gateway': 'stranger', 'Sluice-Proof': provePeer(tls, stranger, 'back', 'client') })],
    ['a stranger under its name', (tls) => ({ 'Sluice-Gateway': 'front', 'Sluice-Proof': provePeer(tls, { ...stranger, id: 'front' }, 'back', 'client') })],
    ['a proof of another connection', () => ({ 'Sluice-Gateway': 'front', 'Sluice-Proof': captured })],
    ['a proof for another gateway', (tls) => ({ 'Sluice-Gateway': 'front', 'Sluice-Proof': provePeer(tls, fronts, 'third', 'client') })],
    ['a proof of the answering side', (tls) => ({ 'Sluice-Gateway': 'front', 'Sluice-Proof': provePeer(tls, fronts, 'back', 'server') })],
    ['the gateway’s own, sent back', (tls) => ({ 'Sluice-Gateway': 'back', 'Sluice-Proof': provePeer(tls, backs, 'back', 'client') })],
    ['half a proof', (tls) => ({ 'Sluice-Gateway': 'front', 'Sluice-Proof': provePeer(tls, fronts, 'back', 'client').slice(0, 43) })],
  ]
  for (const [what, headers] of cases) t.equal(await askForLink(t, back, headers), refusal, what)
  t.same(back.refused, cases.map(() => 'not-a-peer'))
})

void test('the tunnel’s name may become another one: links from then on ask for it', async (t) => {
  const { lab } = await gateways(t)
  const front = await lab.gateway({ peering: { own: identity('renamed'), tunnelHostname: 'before.example' } })
  const asked: (string | false | null | undefined)[] = []
  const peer = createTlsServer({ key: serverCertificate.keyPem, cert: serverCertificate.certPem }, (socket) => {
    asked.push(socket.servername)
    socket.on('error', () => undefined)
    socket.destroy()
  }).listen(0, '127.0.0.1')
  t.teardown(() => void peer.close())
  await once(peer, 'listening')
  const { port } = peer.address() as AddressInfo
  front.tunnel.gatewaySeen({ id: 'peer', publicKey: identity('peer').publicKey, at: { host: '127.0.0.1', port } })
  await until(() => asked.length > 0)
  t.equal(asked[0], 'before.example')
  front.tunnel.setTunnelHostname('after.example')
  await until(() => asked.includes('after.example'))
})

void test('a gateway that is killed: its connections are told at once; one in its place, with another key, is linked anew', async (t) => {
  const place = await gateways(t)
  const { lab, front, back, fronts, backs, request } = place
  await linked(place)
  await nodeHere(lab, [back], 'worker-1')
  front.tunnel.seen(lastSession(back), { kind: 'gateway', id: 'back' })
  const { socket } = await request(`worker-1:${lab.echo.port}`, 'x')
  await readBytes(socket, 1)
  const waiting = request(`worker-1:${await unresponsivePort(t)}`)
  await until(() => front.tunnel.figures().egressDials === 1)
  const { url } = back
  const ending = readToEnd(socket)
  for (const connection of back.sockets) connection.destroy()
  await ending
  await back.close()
  t.match((await waiting).line, /^HTTP\/1\.1 503 worker-1: its session (?:ended|takes no stream now)$/)
  await until(() => front.tunnel.figures().peerLinks === 0)
  t.match(front.egress.find(({ status }) => status === 200), { end: 'stream-reset' })
  t.equal((await request(`worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 503 worker-1: its session takes no stream now')
  // The same place, another process: the store has it under another id.
  const next = identity('back-again')
  const again = await lab.gateway({ port: Number(url.port), peering: { own: next, tunnelHostname: 'localhost' } })
  await until(() => again.refused.includes('not-a-peer'))
  t.equal(front.tunnel.figures().peerLinks, 0)
  again.tunnel.gatewaySeen(inStore(fronts, front))
  front.tunnel.gatewayGone(backs.id)
  front.tunnel.gone(lastSession(back).id)
  front.tunnel.gatewaySeen(inStore(next, again))
  await until(() => front.tunnel.figures().peerLinks === 1 && again.started.length === 1)
  front.tunnel.seen(lastSession(again), { kind: 'gateway', id: next.id })
  const { socket: other } = await request(`worker-1:${lab.echo.port}`, 'again')
  t.equal((await readBytes(other, 5)).toString(), 'again')
})

void test('a gateway that the store has no longer is asked for nothing, and what goes on by its links goes on; when it is there again, so are they', async (t) => {
  const place = await gateways(t)
  const { lab, front, back, fronts, request } = place
  await linked(place)
  await until(() => back.tunnel.figures().peerLinks === 1)
  await nodeHere(lab, [back], 'worker-1')
  front.tunnel.seen(lastSession(back), { kind: 'gateway', id: 'back' })
  const { socket } = await request(`worker-1:${lab.echo.port}`, 'x')
  await readBytes(socket, 1)
  back.tunnel.gatewayGone(fronts.id)
  t.match((await request(`worker-1:${lab.echo.port}`)).line, /^HTTP\/1\.1 503 /)
  socket.write('goes on')
  t.equal((await readBytes(socket, 7)).toString(), 'goes on')
  back.tunnel.gatewaySeen(inStore(fronts, front))
  const { socket: again } = await request(`worker-1:${lab.echo.port}`, 'again')
  t.equal((await readBytes(again, 5)).toString(), 'again')
  t.equal(front.started.length + back.started.length, 1)
  back.tunnel.gatewayGone(fronts.id)
  for (const each of [socket, again]) {
    each.end()
    await readToEnd(each)
  }
  await until(() => back.refused.includes('not-a-peer') && back.tunnel.figures().peerLinks === 0)
  t.pass('with the last connection the links go too')
})
