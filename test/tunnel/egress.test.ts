// A connection of an API server to what is behind an agent, by a Unix socket: what is answered, what crosses, and who is asked.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { lstat, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { connectHeadBytesMax } from '../../src/core/tunnel/connect-head.ts'
import type { ConnectionQuery, LiveConnection } from '../../src/core/live/live-connection.ts'
import { changeOf, endpoint, tenant } from '../support/config.ts'
import type { ReverseOptions } from '../../src/tunnel/agent/reverse-streams.ts'
import { freePort } from '../../bench/free-port.ts'
import { socketFolder } from '../support/socket-folder.ts'
import { readBytes, readToEnd, startBackend, startFlood, until } from '../support/sockets.ts'
import { unresponsivePort } from '../support/unresponsive-port.ts'
import { ask, nodeHere, openSocket, reaching, statusLine } from './egress-lab.ts'
import { tunnelLab, type Lab, type TestGateway } from './tunnel-lab.ts'

interface Place {
  readonly lab: Lab
  readonly gateway: TestGateway
  readonly folder: string
  /** Of the tenant acme. */
  readonly path: string
  /** A new connection of its API server. */
  readonly open: () => Promise<Socket>
}

async function place(t: Test, options: Parameters<Lab['gateway']>[0] = {}): Promise<Place> {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway(options)
  const folder = await socketFolder(t)
  const path = join(folder, 'acme.sock')
  await gateway.tunnel.openEgress([{ kind: 'socket', path, tenant: 'acme' }])
  return { lab, gateway, folder, path, open: async () => await openSocket(t, path) }
}

void test('the answer to a CONNECT is a status line and an empty one; then bytes cross both ways', async (t) => {
  const { lab, gateway, open } = await place(t)
  const agent = await nodeHere(lab, [gateway], 'worker-1')
  const target = `worker-1:${lab.echo.port}`
  const { line, socket } = await ask(await open(), target)
  t.equal(line, 'HTTP/1.1 200 OK')
  socket.write('hello')
  t.equal((await readBytes(socket, 5)).toString(), 'hello')
  t.match(gateway.tunnel.figures(), { egressConnections: 1, egressDials: 0 })
  t.same(agent.agent.reverse, { connections: 1, dials: 0 })
  socket.end(' and goodbye')
  t.match(await readToEnd(socket), { bytes: Buffer.from(' and goodbye'), how: 'fin' })
  await until(() => gateway.egress.length === 1 && agent.reversed.length === 1)
  t.match(gateway.egress[0], { tenant: 'acme', target, node: 'worker-1', status: 200, refusal: undefined, end: 'completed', attempts: 1, toNodeBytes: 17, fromNodeBytes: 17 })
  t.type(gateway.egress[0]?.dialMs, 'number')
  t.match(agent.reversed[0], { target, status: 200, end: 'completed', gateway: gateway.url.host, toUpstreamBytes: 17, fromUpstreamBytes: 17 })
  t.match(gateway.tunnel.figures(), { egressConnections: 0, egressDials: 0 })
  t.equal(agent.agent.connectionCount, 0)
})

void test('not a byte stands behind the 200 before the API server has spoken', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const greeter = await startBackend(t, (socket) => socket.end('220 I speak first\r\n'))
  for (let isInTime = false; !isInTime;) {
    const socket = await open()
    const chunks: string[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk.toString()))
    const askedMs = performance.now()
    socket.write(`CONNECT worker-1:${greeter.port} HTTP/1.1\r\n\r\n`)
    await once(socket, 'data')
    // After 100 ms nothing is held back any longer: such a try tells nothing.
    isInTime = performance.now() - askedMs < 100
    if (isInTime) t.same(chunks, ['HTTP/1.1 200 OK\r\n\r\n'])
    // The greeting and its FIN are there by now, or soon will be; they follow when it has said something.
    socket.write('EHLO\r\n')
    await once(socket, 'end')
    t.equal(chunks.join(''), 'HTTP/1.1 200 OK\r\n\r\n220 I speak first\r\n')
  }
})

void test('but an API server that waits for the other side to speak is not held up for ever', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const greeter = await startBackend(t, (socket) => socket.write('220 I speak first\r\n'))
  const { socket } = await ask(await open(), `worker-1:${greeter.port}`)
  t.equal((await readBytes(socket, 19)).toString(), '220 I speak first\r\n')
  const leaver = await startBackend(t, (upstream) => upstream.end())
  t.match(await readToEnd((await ask(await open(), `worker-1:${leaver.port}`)).socket), { how: 'fin' }, 'nor one that is told of the end alone')
  const breaker = await startBackend(t, (upstream) => upstream.resetAndDestroy())
  t.match(await readToEnd((await ask(await open(), `worker-1:${breaker.port}`)).socket), { bytes: Buffer.alloc(0) }, 'nor one whose other side breaks')
})

void test('what comes with the head, and before the answer, arrives', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const bytes = randomBytes(3_000_000)
  const socket = await open()
  socket.write(`CONNECT worker-1:${lab.echo.port} HTTP/1.1\r\n\r\nhello`)
  socket.end(bytes)
  t.equal(await statusLine(socket), 'HTTP/1.1 200 OK')
  const { bytes: got, how } = await readToEnd(socket)
  t.equal(how, 'fin')
  t.ok(got.equals(Buffer.concat([Buffer.from('hello'), bytes])))
})

void test('a head may come in any pieces', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const socket = await open()
  for (const character of `CONNECT worker-1:${lab.echo.port} HTTP/1.1\r\nHost: x\r\n\r\nhello`) {
    socket.write(character)
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
  t.equal(await statusLine(socket), 'HTTP/1.1 200 OK')
  t.equal((await readBytes(socket, 5)).toString(), 'hello')
})

void test('400: what is no CONNECT, and one that does not come', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const silent = await open()
  silent.write('CONNECT worker-1:')
  const heads: readonly (readonly [head: string, why: string])[] = [
    ['GET / HTTP/1.1\r\nHost: worker-1\r\n\r\n', 'no CONNECT HOST:PORT HTTP/1.1'],
    ['CONNECT worker-1 HTTP/1.1\r\n\r\n', 'no CONNECT HOST:PORT HTTP/1.1'],
    ['CONNECT worker-1:65536 HTTP/1.1\r\n\r\n', 'no CONNECT HOST:PORT HTTP/1.1'],
    ['CONNECT [worker-1:1 HTTP/1.1\r\n\r\n', 'no CONNECT HOST:PORT HTTP/1.1'],
    ['CONNECT worker-1:1 HTTP/2\r\n\r\n', 'no CONNECT HOST:PORT HTTP/1.1'],
    ['\r\n\r\n', 'no CONNECT HOST:PORT HTTP/1.1'],
    ['\u0016\u0003\u0001\u0000\r\n\r\n', 'a head with bytes that are no text'],
    [`CONNECT worker-1:1 HTTP/1.1\r\nX: ${'x'.repeat(connectHeadBytesMax)}`, `a head of over ${connectHeadBytesMax} bytes`],
  ]
  for (const [head, why] of heads) {
    const socket = await open()
    socket.write(head, 'latin1')
    t.match(await readToEnd(socket), { bytes: Buffer.from(`HTTP/1.1 400 ${why}\r\n\r\n`), how: 'fin' }, head.slice(0, 40))
    t.match(gateway.egress.at(-1), { tenant: 'acme', status: 400, refusal: 'malformed', end: 'refused', detail: why, attempts: 0, dialMs: undefined })
  }
  t.match(await readToEnd(silent), { bytes: Buffer.from('HTTP/1.1 400 no CONNECT in 5 s\r\n\r\n'), how: 'fin' })
  await until(() => gateway.tunnel.figures().egressConnections === 0)
  t.equal(gateway.egress.length, heads.length + 1)
})

void test('an API server that leaves before there is an answer leaves nothing behind', async (t) => {
  const { lab, gateway, open } = await place(t)
  const agent = await nodeHere(lab, [gateway], 'worker-1', { reverse: reaching({ dialTimeoutMs: 7_000 }) })
  const inHead = await open()
  inHead.write('CONNECT ')
  inHead.destroy()
  await until(() => gateway.egress.length === 1)
  t.match(gateway.egress[0], { target: undefined, status: 400, refusal: 'malformed', detail: 'an end before the head was whole' })
  const target = `worker-1:${await unresponsivePort(t)}`
  const inDial = await open()
  inDial.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`)
  await until(() => agent.agent.reverse.dials === 1)
  t.equal(gateway.tunnel.figures().egressDials, 1)
  inDial.destroy()
  await until(() => gateway.egress.length === 2 && agent.reversed.length === 1)
  t.match(gateway.egress[1], { target, node: 'worker-1', status: undefined, end: 'abandoned' }, 'at once, whatever the dial would have waited for')
  t.match(gateway.tunnel.figures(), { egressConnections: 0, egressDials: 0 })
  t.same(agent.agent.reverse, { connections: 0, dials: 0 })
})

void test('a gateway that stops in the middle of a dial: the agent gives it up', async (t) => {
  const { lab, gateway, open } = await place(t)
  const agent = await nodeHere(lab, [gateway], 'worker-1', { reverse: reaching({ dialTimeoutMs: 7_000 }) })
  const target = `worker-1:${await unresponsivePort(t)}`
  const socket = await open()
  socket.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`)
  await until(() => agent.agent.reverse.dials === 1)
  await gateway.close()
  await until(() => agent.reversed.length === 1)
  t.match(agent.reversed[0], { target, status: undefined, end: 'abandoned' })
  t.match(gateway.egress, [{ target, node: 'worker-1' }])
  t.same(agent.agent.reverse, { connections: 0, dials: 0 })
})

void test('502, 503, 504, 403: the status line says who was asked, and what became of it', async (t) => {
  const { lab, gateway, open } = await place(t)
  const refuse = async (target: string): Promise<string> => {
    const socket = await open()
    socket.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`)
    const { bytes, how } = await readToEnd(socket)
    t.equal(how, 'fin', target)
    await until(() => gateway.tunnel.figures().egressConnections === 0)
    return bytes.toString()
  }
  t.equal(await refuse('worker-1:10250'), 'HTTP/1.1 503 no agent of acme is connected\r\n\r\n')
  t.match(gateway.egress.at(-1), { status: 503, refusal: 'no-agent', node: undefined, attempts: 0 })
  const [closed, blackHole] = [await freePort(), await unresponsivePort(t)]
  await nodeHere(lab, [gateway], 'worker-1', { reverse: reaching({ dialTimeoutMs: 3_000, allow: [{ kind: 'node', ports: [closed, blackHole].map((port) => ({ from: port, to: port })) }, { kind: 'host', host: 'nowhere.invalid', ports: [{ from: 443, to: 443 }] }] }) })
  t.equal(await refuse('worker-2:10250'), 'HTTP/1.1 503 none of the 1 agents\' sessions of acme has or announces worker-2 (port 10250)\r\n\r\n')
  t.match(gateway.egress.at(-1), { status: 503, refusal: 'no-agent', attempts: 0 })
  t.equal(await refuse(`worker-1:${closed}`), `HTTP/1.1 502 worker-1: worker-1:${closed}: 127.0.0.1:${closed}: ECONNREFUSED\r\n\r\n`)
  t.match(gateway.egress.at(-1), { status: 502, refusal: 'unreachable', node: 'worker-1', attempts: 1, end: 'refused' })
  t.equal(await refuse(`worker-1:${blackHole}`), `HTTP/1.1 504 worker-1: worker-1:${blackHole}: no answer in 3000 ms\r\n\r\n`)
  t.match(gateway.egress.at(-1), { status: 504, refusal: 'timeout' })
  t.equal(await refuse('worker-1:22'), 'HTTP/1.1 403 worker-1: port 22 of this node: not in reverse.allow\r\n\r\n')
  t.match(gateway.egress.at(-1), { status: 403, refusal: 'forbidden' })
  t.match(await refuse('nowhere.invalid:443'), /^HTTP\/1\.1 502 worker-1: nowhere\.invalid can't be resolved: E[A-Z_]+\r\n\r\n$/)
  t.match(gateway.egress.at(-1), { status: 502, refusal: 'unreachable' })
})

void test('a name that is announced is resolved by the agent', async (t) => {
  const { lab, gateway, open } = await place(t)
  const ports = [{ from: lab.echo.port, to: lab.echo.port }]
  await nodeHere(lab, [gateway], 'worker-1', { addresses: [], reverse: reaching({ allow: [{ kind: 'host', host: 'localhost', ports }, { kind: 'cidr', cidr: '127.0.0.0/8', ports }] }) })
  const { line, socket } = await ask(await open(), `LOCALHOST.:${lab.echo.port}`, 'hello')
  t.equal(line, 'HTTP/1.1 200 OK')
  t.equal((await readBytes(socket, 5)).toString(), 'hello')
})

void test('a name that leads to loopback is not dialled because the name is allowed', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1', { addresses: [], reverse: reaching({ allow: [{ kind: 'host', host: 'localhost', ports: [{ from: 1, to: 65_535 }] }, { kind: 'cidr', cidr: '0.0.0.0/0', ports: [{ from: 1, to: 65_535 }] }] }) })
  t.match((await ask(await open(), `localhost:${lab.echo.port}`)).line, /^HTTP\/1\.1 403 worker-1: localhost is (?:127\.0\.0\.1|::1), port \d+: loopback is not dialled unless reverse\.allow names it$/)
  t.equal(lab.echo.sockets.length, 0)
})

void test('FIN crosses as FIN, whoever ends first, with the other way going on', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const backend = await startBackend(t)
  const { socket: first } = await ask(await open(), `worker-1:${backend.port}`)
  first.end('last words')
  const upstream = await backend.socket(0)
  t.match(await readToEnd(upstream), { bytes: Buffer.from('last words'), how: 'fin' })
  upstream.end('the answer')
  t.match(await readToEnd(first), { bytes: Buffer.from('the answer'), how: 'fin' })
  const { socket: second } = await ask(await open(), `worker-1:${backend.port}`, 'x')
  const other = await backend.socket(1)
  await readBytes(other, 1)
  other.end('bye')
  t.match(await readToEnd(second), { bytes: Buffer.from('bye'), how: 'fin' })
  second.end('still here')
  t.match(await readToEnd(other), { bytes: Buffer.from('still here'), how: 'fin' })
  await until(() => gateway.egress.length === 2)
  t.same(gateway.egress.map(({ end }) => end), ['completed', 'completed'])
})

void test('a FIN that comes during the dial is not lost', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const socket = await open()
  socket.end(`CONNECT worker-1:${lab.echo.port} HTTP/1.1\r\n\r\nhello`)
  t.equal(await statusLine(socket), 'HTTP/1.1 200 OK')
  t.match(await readToEnd(socket), { bytes: Buffer.from('hello'), how: 'fin' })
  const nothing = await open()
  nothing.end(`CONNECT worker-1:${lab.echo.port} HTTP/1.1\r\n\r\n`)
  t.equal(await statusLine(nothing), 'HTTP/1.1 200 OK')
  t.match(await readToEnd(nothing), { bytes: Buffer.alloc(0), how: 'fin' })
  await until(() => gateway.egress.length === 2)
})

/** Both ways: a Unix socket has no reset to show, but who writes to it is told. */
async function isClosed(socket: Socket): Promise<string> {
  const failed = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
  await readToEnd(socket)
  if (!socket.destroyed) socket.write('x')
  return await failed
}

void test('a reset crosses, either way', async (t) => {
  const { lab, gateway, open } = await place(t)
  const agent = await nodeHere(lab, [gateway], 'worker-1')
  const backend = await startBackend(t)
  const { socket: client } = await ask(await open(), `worker-1:${backend.port}`, 'x')
  const upstream = await backend.socket(0)
  await readBytes(upstream, 1)
  upstream.resetAndDestroy()
  t.match(await isClosed(client), /EPIPE|ECONNRESET/)
  await until(() => gateway.egress.length === 1 && agent.reversed.length === 1)
  t.match([gateway.egress[0], agent.reversed[0]], [{ end: 'stream-reset' }, { end: 'socket-reset' }])
  // On a Unix socket one that leaves looks like one that has said all; what is sent to it then tells.
  const { socket: leaver } = await ask(await open(), `worker-1:${backend.port}`, 'x')
  const left = await backend.socket(1)
  await readBytes(left, 1)
  const ending = new Promise<string | undefined>((resolve) => {
    left.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })
  leaver.destroy()
  left.on('end', () => {
    const goOn = (): void => {
      if (!left.destroyed) left.write('who is there?', () => setImmediate(goOn))
    }
    goOn()
  })
  left.resume()
  t.match(await ending, /EPIPE|ECONNRESET/)
  await until(() => gateway.egress.length === 2 && agent.reversed.length === 2)
  t.match([gateway.egress[1], agent.reversed[1]], [{ end: 'socket-reset' }, { end: 'stream-reset' }])
})

void test('a reader that stops holds its own connection, and what waits for it is bounded', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const flood = await startFlood(t)
  const { socket: stopped } = await ask(await open(), `worker-1:${flood.port}`, 'x')
  stopped.pause()
  const sent = await flood.stalled()
  t.ok(sent < 64 * 1024 * 1024, `${sent} bytes`)
  const { socket: other } = await ask(await open(), `worker-1:${lab.echo.port}`)
  const bytes = randomBytes(1_000_000)
  other.end(bytes)
  t.ok((await readToEnd(other)).bytes.equals(bytes), 'others go on')
  t.equal(gateway.ended.length, 0)
})

void test('a node that does not read holds up its own connection alone', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const deaf = await startBackend(t, (socket) => socket.pause())
  const { socket: writer } = await ask(await open(), `worker-1:${deaf.port}`)
  let before = -1
  writer.write(Buffer.alloc(64 * 1024 * 1024))
  await until(() => {
    const still = writer.writableLength === before
    before = writer.writableLength
    return still
  })
  t.ok(writer.writableLength > 0, `${writer.writableLength} bytes are left`)
  const { socket: other } = await ask(await open(), `worker-1:${lab.echo.port}`, 'hello')
  t.equal((await readBytes(other, 5)).toString(), 'hello')
})

void test('connections of a tenant that wait for their dial are bounded; one more is told so, and others are not held up', async (t) => {
  const { lab, gateway, folder, open } = await place(t)
  gateway.tunnel.publish(changeOf({ version: 2, tenants: [tenant('acme', [endpoint(lab.echo.port)]), tenant('globex', [endpoint(lab.echo.port)])] }))
  await nodeHere(lab, [gateway], 'worker-1', { reverse: reaching({ dialTimeoutMs: 7_000 }) })
  await nodeHere(lab, [gateway], 'worker-2', { tenant: 'globex' })
  const target = `worker-1:${await unresponsivePort(t)}`
  const waiting = await Promise.all(Array.from({ length: 1_000 }, async () => await open()))
  for (const socket of waiting) socket.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`)
  await until(() => gateway.tunnel.figures().egressDials === 1_000)
  t.equal((await ask(await open(), target)).line, 'HTTP/1.1 503 too many connections of acme wait for their dial')
  t.match(gateway.egress.at(-1), { status: 503, refusal: 'too-many', attempts: 0 })
  const path = join(folder, 'globex.sock')
  await gateway.tunnel.openEgress([{ kind: 'socket', path, tenant: 'globex' }])
  t.equal((await ask(await openSocket(t, path), `worker-2:${lab.echo.port}`)).line, 'HTTP/1.1 200 OK')
  for (const socket of waiting) socket.destroy()
  await until(() => gateway.tunnel.figures().egressDials === 0)
  t.equal((await ask(await open(), `worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 200 OK', 'their places are free again')
})

void test('an agent dials so many at one time; one more is refused, and told of', async (t) => {
  const { lab, gateway, open } = await place(t)
  const agent = await nodeHere(lab, [gateway], 'worker-1', { reverse: reaching({ dialsMax: 2 }) })
  const blackHole = await unresponsivePort(t)
  for (let count = 0; count < 2; count++) (await open()).write(`CONNECT worker-1:${blackHole} HTTP/1.1\r\n\r\n`)
  await until(() => agent.agent.reverse.dials === 2)
  t.equal((await ask(await open(), `worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 503 worker-1: 2 dials are under way already')
  t.match(gateway.egress.at(-1), { status: 503, refusal: 'too-many', node: 'worker-1', attempts: 1 })
})

void test('two tenants whose nodes have the same addresses, ranges and names never meet', async (t) => {
  const { lab, gateway, folder, open } = await place(t)
  gateway.tunnel.publish(changeOf({ version: 2, tenants: ['acme', 'globex', 'initech'].map((name) => tenant(name, [endpoint(lab.echo.port)])) }))
  // What is asked for is refused, by the agent that was asked: that tells whose it was.
  const alike = { addresses: ['192.0.2.1'], reverse: reaching({ allow: [{ kind: 'host', host: 'hook.example', ports: [{ from: 1, to: 1 }] }, { kind: 'cidr', cidr: '10.96.0.0/12', ports: [{ from: 1, to: 1 }] }], announce: ['10.96.0.0/12'] }) }
  await nodeHere(lab, [gateway], 'of-acme', alike)
  await nodeHere(lab, [gateway], 'of-globex', { ...alike, tenant: 'globex' })
  t.same(gateway.announcements, [])
  const openOf = async (name: string): Promise<Socket> => {
    const path = join(folder, `${name}.sock`)
    await gateway.tunnel.openEgress([{ kind: 'socket', path, tenant: name }])
    return await openSocket(t, path)
  }
  for (const host of ['192.0.2.1', '::ffff:192.0.2.1', '10.96.0.1', 'hook.example']) {
    const target = `${host.includes(':') ? `[${host}]` : host}:2`
    for (const name of ['acme', 'globex']) {
      t.match((await ask(name === 'acme' ? await open() : await openOf(name), target)).line, new RegExp(`^HTTP/1\\.1 403 of-${name}: `), `${name} ${host}`)
      t.match(gateway.egress.at(-1), { tenant: name, node: `of-${name}`, attempts: 1 })
    }
    t.match((await ask(await openOf('initech'), target)).line, 'HTTP/1.1 503 no agent of initech is connected')
  }
  t.match((await ask(await open(), 'of-globex:2')).line, /^HTTP\/1\.1 503 /, 'nor by the other’s name')
})

void test('a tenant that is no longer in the configuration gets no connection', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  gateway.tunnel.publish(changeOf({ version: 2, tenants: [] }))
  t.equal((await ask(await open(), `worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 403 there is no tenant acme')
  t.match(gateway.egress, [{ tenant: undefined, status: 403, refusal: 'forbidden', attempts: 0 }])
})

void test('a socket that is there before its tenant, as in a reload, lets the first connections wait for it', async (t) => {
  const { lab, gateway, folder } = await place(t)
  const path = join(folder, 'globex.sock')
  await gateway.tunnel.openEgress([{ kind: 'socket', path, tenant: 'globex' }])
  const [early, leaving] = [await openSocket(t, path), await openSocket(t, path)]
  const asked = ask(early, `worker-2:${lab.echo.port}`)
  leaving.destroy()
  gateway.tunnel.publish(changeOf({ version: 2, tenants: [tenant('acme', [endpoint(lab.echo.port)]), tenant('globex', [endpoint(lab.echo.port)])] }))
  t.match((await asked).line, 'HTTP/1.1 503 no agent of globex is connected')
  t.match(gateway.egress.at(-1), { tenant: 'globex' })
})

void test('what an agent may not announce is told to it and to the log, and leads nowhere; the rest holds', async (t) => {
  const { lab, gateway, open } = await place(t, { overrides: { mayAnnounce: ['10.244.0.0/16', '192.0.2.0/24', '*.corp.example'] } })
  const ports = [{ from: 1, to: 65_535 }]
  const agent = await nodeHere(lab, [gateway], 'worker-1', { addresses: ['192.0.2.11', '198.51.100.11', '169.254.9.9'], reverse: reaching({ allow: [{ kind: 'host', host: 'hook.corp.example', ports }, { kind: 'host', host: 'api.globex.example', ports }], announce: ['10.244.3.0/24', '10.0.0.0/8', '169.254.0.0/16', '::/0'] }) })
  const outside = 'not within what the tenant may announce: 10.244.0.0/16, 192.0.2.0/24, *.corp.example'
  const refused = [
    { announced: '198.51.100.11', why: outside },
    { announced: '169.254.9.9', why: 'link-local can\'t be announced' },
    { announced: '10.0.0.0/8', why: outside },
    { announced: '169.254.0.0/16', why: 'link-local can\'t be announced' },
    { announced: '::/0', why: 'the unspecified address can\'t be announced' },
    { announced: 'worker-1', why: outside },
    { announced: 'api.globex.example', why: outside },
  ]
  await until(() => agent.announcements.length > 0)
  t.same(agent.announcements, [refused])
  t.same(agent.agent.links[0]?.refusedAnnouncements, refused)
  t.same(gateway.announcements, refused)
  t.same(gateway.started[0]?.announced, { addresses: ['192.0.2.11'], ranges: ['10.244.3.0/24'], names: ['hook.corp.example'], isNameRefused: true })
  for (const target of ['198.51.100.11:1', '169.254.9.9:1', '169.254.169.254:80', '10.96.0.1:443', '[2001:db8::1]:443', 'worker-1:10250', 'api.globex.example:443']) t.match((await ask(await open(), target)).line, /^HTTP\/1\.1 503 none of the 1 agents' sessions of acme has or announces /, target)
  for (const target of ['192.0.2.11:10250', '10.244.3.9:443', 'hook.corp.example:443']) {
    await ask(await open(), target)
    t.match(gateway.egress.at(-1), { target, node: 'worker-1', attempts: 1 })
  }
})

void test('the first node with an address keeps it, until its last session has ended', async (t) => {
  const { lab, gateway, open } = await place(t)
  const nobody = reaching({ allow: [] })
  const first = await nodeHere(lab, [gateway], 'first', { addresses: ['192.0.2.1'], reverse: nobody })
  const second = await nodeHere(lab, [gateway], 'second', { addresses: ['192.0.2.1', '192.0.2.2'], reverse: nobody })
  await until(() => second.announcements.length > 0)
  t.same(second.announcements, [[{ announced: '192.0.2.1', why: 'first has it' }]])
  t.same(gateway.announcements, [{ announced: '192.0.2.1', why: 'first has it' }])
  t.same(first.announcements, [])
  t.match((await ask(await open(), '192.0.2.1:1')).line, /^HTTP\/1\.1 403 first: /)
  t.equal(gateway.egress.at(-1)?.attempts, 1, 'the second is not even asked')
  t.match((await ask(await open(), '192.0.2.2:1')).line, /^HTTP\/1\.1 403 second: /)
  // As when a session of its takes another's place: the one before ends last.
  const again = await nodeHere(lab, [gateway], 'first', { addresses: ['192.0.2.1'], reverse: nobody })
  await until(() => gateway.started.length === 3)
  await first.agent.stop()
  await until(() => gateway.ended.length === 1)
  t.match((await ask(await open(), '192.0.2.1:1')).line, /^HTTP\/1\.1 403 first: /)
  await again.agent.stop()
  await until(() => gateway.ended.length === 2)
  t.match((await ask(await open(), '192.0.2.1:1')).line, /^HTTP\/1\.1 403 second: /)
})

void test('a session that is gone, and one that is about to be: the next agent is asked', async (t) => {
  const { lab, gateway, open } = await place(t)
  const announce = ['10.96.0.0/12']
  const ghost = { id: 'ghost', tenant: 'acme', keyId: 'ghost', node: 'ghost', sinceMs: 0, announced: { addresses: ['10.96.0.1'], ranges: [], names: [] } }
  await nodeHere(lab, [gateway], 'worker-1', { reverse: reaching({ announce }) })
  gateway.tunnel.seen(ghost, { kind: 'thread', thread: 7 })
  t.match((await ask(await open(), '10.96.0.1:1')).line, /^HTTP\/1\.1 403 worker-1: /)
  t.match(gateway.egress.at(-1), { node: 'worker-1', attempts: 2 })
  gateway.tunnel.gone('ghost')
  await ask(await open(), '10.96.0.1:1')
  t.match(gateway.egress.at(-1), { node: 'worker-1', attempts: 1 })
})

void test('an agent that is gone during a connection: the API server is told at once', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const { socket } = await ask(await open(), `worker-1:${lab.echo.port}`, 'x')
  await readBytes(socket, 1)
  const waiting = await open()
  waiting.write(`CONNECT worker-1:${await unresponsivePort(t)} HTTP/1.1\r\n\r\n`)
  await until(() => gateway.tunnel.figures().egressDials === 1)
  for (const connection of gateway.sockets) connection.destroy()
  t.match(await isClosed(socket), /EPIPE|ECONNRESET/)
  t.match(await readToEnd(waiting), { bytes: Buffer.from('HTTP/1.1 503 worker-1: its session ended\r\n\r\n'), how: 'fin' })
  t.match(gateway.egress.find(({ status }) => status === 200), { end: 'stream-reset' })
  t.match(gateway.egress.find(({ status }) => status === 503), { refusal: 'no-agent', node: 'worker-1' })
  await until(() => gateway.started.length === 2)
  const { socket: again } = await ask(await open(), `worker-1:${lab.echo.port}`, 'again')
  t.equal((await readBytes(again, 5)).toString(), 'again', 'and when it has come again, it is reached')
})

/** The agent leaves with its last stream too. */
const closedByEither = /^(?:drained|connection closed \(1000\))$/

void test('a gateway that drains: connections go on to their own end, none is let in, and a session ends with its last one', async (t) => {
  const { lab, gateway, folder, path, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  await nodeHere(lab, [gateway], 'idle')
  const { socket } = await ask(await open(), `worker-1:${lab.echo.port}`, 'x')
  await readBytes(socket, 1)
  const undecided = await open()
  const drained = gateway.tunnel.drain()
  await until(() => readdirSync(folder).length === 0)
  await t.rejects(openSocket(t, path), { code: 'ENOENT' })
  gateway.tunnel.publish(changeOf({ version: 2, tenants: [tenant('acme', [endpoint(lab.echo.port)], { mayAnnounce: ['worker-1'] })] }))
  t.match((await ask(undecided, `worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 503 no agent of acme is connected', 'one that was accepted is answered, after a reload too')
  await until(() => gateway.ended.length === 1)
  t.match(gateway.ended, [{ reason: 'closed', detail: closedByEither }], 'the one without a connection')
  socket.write('still here')
  t.equal((await readBytes(socket, 10)).toString(), 'still here')
  socket.end()
  await readToEnd(socket)
  await drained
  t.match(gateway.ended[1], { reason: 'closed', detail: closedByEither })
})

void test('connections are listed in each phase, and closed by those who run the gateway: both sides are reset, and a dial is given up', async (t) => {
  const { lab, gateway, path, open } = await place(t)
  const agent = await nodeHere(lab, [gateway], 'worker-1')
  const echo = `worker-1:${lab.echo.port}`
  const found = (query: ConnectionQuery = {}): readonly LiveConnection[] => gateway.tunnel.scan({ query, from: 0, max: 100 }).connections
  const silent = await open()
  const blackHole = `worker-1:${await unresponsivePort(t)}`
  const { socket: relaying } = await ask(await open(), echo, 'hello')
  await readBytes(relaying, 5)
  const backend = await startBackend(t)
  const { socket: finished } = await ask(await open(), `worker-1:${backend.port}`)
  finished.end()
  await readToEnd(await backend.socket(0))
  const dialling = await open()
  dialling.write(`CONNECT ${blackHole} HTTP/1.1\r\n\r\n`)
  await until(() => found().some(({ phase }) => phase === 'half-closed') && found().some(({ phase }) => phase === 'dialing'))
  const listed = found()
  t.match(listed.toSorted((a, b) => a.id < b.id ? -1 : 1), [
    { kind: 'egress', phase: 'hello', egress: path, tenant: 'acme', target: undefined, client: undefined, bytesFromDownstream: 0 },
    { phase: 'relaying', target: echo, node: 'worker-1', bytesFromDownstream: 5, bytesFromUpstream: 5 },
    { phase: 'half-closed' },
    { phase: 'dialing', target: blackHole, node: 'worker-1' },
  ])
  t.same([found({ kinds: ['egress'], tenant: 'acme' }).length, found({ kinds: ['connection', 'stream'] }).length, found({ tenant: 'globex' }).length, found({ source: '0.0.0.0/0' }).length], [4, 0, 0, 0])
  const ends = [silent, dialling, relaying, finished].map(async (socket) => await readToEnd(socket))
  t.equal(gateway.tunnel.close(listed), 4)
  t.equal(gateway.tunnel.close(listed), 0, 'they are gone')
  for (const { bytes } of await Promise.all(ends)) t.same(bytes, Buffer.alloc(0), 'an end, without an answer')
  await until(() => agent.agent.reverse.connections === 0 && agent.agent.reverse.dials === 0)
  t.same(gateway.egress.map(({ end, refusal }) => `${end} ${refusal}`), Array.from({ length: 4 }, () => 'closed-by-operator undefined'))
  t.same(new Set(gateway.egress.map(({ id }) => id)), new Set(listed.map(({ id }) => id)), 'the log names them alike')
  t.match(gateway.tunnel.figures(), { egressConnections: 0, egressDials: 0 })
  t.same(found(), [])
  t.equal((await ask(await open(), echo)).line, 'HTTP/1.1 200 OK')
})

void test('of agents for the same, one that has not reached what another one has comes last for a while; where none reaches it, none does', async (t) => {
  const { lab, gateway, open } = await place(t)
  const here = { kind: 'cidr', cidr: '127.0.0.1/32', ports: [{ from: 1, to: 65_535 }] } as const
  const named = (port: number): ReverseOptions => reaching({ allow: [here, { kind: 'host', host: 'localhost', ports: [{ from: port, to: port }] }] })
  await nodeHere(lab, [gateway], 'good', { addresses: [], reverse: named(lab.echo.port) })
  await nodeHere(lab, [gateway], 'bad', { addresses: [], reverse: reaching({ allow: [{ kind: 'host', host: 'localhost', ports: [{ from: 1, to: 1 }] }] }) })
  const nobody = await freePort()
  for (let each = 0; each < 5; each++) t.match((await ask(await open(), `localhost:${nobody}`)).line, /^HTTP\/1\.1 502 good: /)
  const sockets = await Promise.all(Array.from({ length: 20 }, async () => (await ask(await open(), `localhost:${lab.echo.port}`)).line))
  t.ok(sockets.every((line) => line === 'HTTP/1.1 200 OK'))
  const before = gateway.egress.length
  for (let each = 0; each < 20; each++) (await ask(await open(), `localhost:${lab.echo.port}`)).socket.destroy()
  await until(() => gateway.egress.length === before + 20)
  t.same([...new Set(gateway.egress.slice(before).map(({ attempts, node }) => `${node} ${attempts}`))], ['good 1'])
})

void test('a gateway that stops cuts what is left', async (t) => {
  const { lab, gateway, folder, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const { socket } = await ask(await open(), `worker-1:${lab.echo.port}`, 'x')
  await readBytes(socket, 1)
  const ending = isClosed(socket)
  await gateway.close()
  t.match(await ending, /EPIPE|ECONNRESET/)
  t.same(await readdir(folder), [])
  t.match(gateway.egress, [{ status: 200, end: /^(?:socket|stream)-reset$/ }])
})

void test('a socket is its owner’s and its group’s, appears under its name when it listens, and goes when it is closed', async (t) => {
  const { gateway, folder, path } = await place(t)
  t.same(await readdir(folder), ['acme.sock'])
  const there = await lstat(path)
  t.ok(there.isSocket())
  t.equal(there.mode & 0o777, 0o660)
  await gateway.tunnel.closeOtherEgress([path])
  t.same(await readdir(folder), ['acme.sock'])
  await gateway.tunnel.closeOtherEgress([])
  t.same(await readdir(folder), [])
})

void test('a socket that a gateway left behind is taken over', async (t) => {
  const { lab, gateway, folder } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const path = join(folder, 'stale.sock')
  const before = createServer().listen(`${path}.before`)
  await once(before, 'listening')
  await rename(`${path}.before`, path)
  before.close()
  await once(before, 'close')
  t.ok((await lstat(path)).isSocket())
  await gateway.tunnel.openEgress([{ kind: 'socket', path, tenant: 'acme' }])
  t.equal((await ask(await openSocket(t, path), `worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 200 OK')
})

void test('a gateway that takes another’s place leaves no moment without a socket, and keeps it when the other goes', async (t) => {
  const { lab, gateway, folder, path, open } = await place(t)
  const next = await lab.gateway()
  await nodeHere(lab, [gateway, next], 'worker-1')
  const { socket: old } = await ask(await open(), `worker-1:${lab.echo.port}`, 'x')
  await readBytes(old, 1)
  await next.tunnel.openEgress([{ kind: 'socket', path, tenant: 'acme' }])
  const drained = gateway.tunnel.drain()
  t.equal((await ask(await open(), `worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 200 OK')
  t.equal(next.tunnel.figures().egressConnections, 1)
  old.end('still here')
  t.equal((await readToEnd(old)).bytes.toString(), 'still here')
  await drained
  await gateway.close()
  t.same(await readdir(folder), ['acme.sock'])
  t.equal((await ask(await open(), `worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 200 OK')
})

void test('what can’t be bound is named, what is there stays, and then none of the new ones is open', async (t) => {
  const { gateway, folder, path } = await place(t)
  const file = join(folder, 'precious')
  await writeFile(file, 'data')
  const [fresh, nowhere] = [join(folder, 'fresh.sock'), join(folder, 'missing', 'x.sock')]
  await t.rejects(gateway.tunnel.openEgress([{ kind: 'socket', path: fresh, tenant: 'acme' }, { kind: 'socket', path: file, tenant: 'acme' }]), { message: `egress ${file} can't be bound: something is there that is no socket` })
  t.equal(await readFile(file, 'utf8'), 'data')
  await t.rejects(gateway.tunnel.openEgress([{ kind: 'socket', path: nowhere, tenant: 'acme' }]), { message: new RegExp(`^egress ${nowhere} can't be bound: .*ENOENT`) })
  t.same((await readdir(folder)).toSorted(), ['acme.sock', 'precious'])
  t.ok((await openSocket(t, path)).readable, 'those that there were go on')
})

void test('entries are opened and closed in the order in which that is asked for', async (t) => {
  const { gateway: { tunnel }, folder, path } = await place(t)
  const [there, fresh] = [path, join(folder, 'fresh.sock')].map((each) => ({ kind: 'socket', path: each, tenant: 'acme' }) as const)
  if (there === undefined || fresh === undefined) throw new Error('unreachable')
  // As when another thread could not open its part of the same reload.
  await Promise.all([tunnel.openEgress([there, fresh]), tunnel.openEgress([there]), tunnel.closeOtherEgress([path])])
  t.same(await readdir(folder), ['acme.sock'])
  await Promise.all([tunnel.openEgress([fresh]), tunnel.openEgress([fresh]), tunnel.closeOtherEgress([])])
  t.same(await readdir(folder), [])
})

void test('a socket that becomes another tenant’s is so for connections from then on', async (t) => {
  const { lab, gateway, path, open } = await place(t)
  gateway.tunnel.publish(changeOf({ version: 2, tenants: [tenant('acme', [endpoint(lab.echo.port)]), tenant('globex', [endpoint(lab.echo.port)])] }))
  await nodeHere(lab, [gateway], 'worker-1')
  await nodeHere(lab, [gateway], 'worker-2', { tenant: 'globex' })
  const before = await open()
  await gateway.tunnel.openEgress([{ kind: 'socket', path, tenant: 'globex' }])
  t.equal((await ask(await open(), `worker-2:${lab.echo.port}`)).line, 'HTTP/1.1 200 OK')
  t.match((await ask(await open(), `worker-1:${lab.echo.port}`)).line, /^HTTP\/1\.1 503 /)
  t.equal((await ask(before, `worker-1:${lab.echo.port}`)).line, 'HTTP/1.1 200 OK')
})

void test('many connections at once, and nothing is left of them', async (t) => {
  const { lab, gateway, open } = await place(t)
  const agent = await nodeHere(lab, [gateway], 'worker-1')
  await Promise.all(Array.from({ length: 300 }, async (_, index) => {
    const { socket } = await ask(await open(), `worker-1:${lab.echo.port}`, `connection ${index}`)
    socket.end()
    t.equal((await readToEnd(socket)).bytes.toString(), `connection ${index}`)
  }))
  await until(() => gateway.egress.length === 300 && agent.reversed.length === 300)
  t.match(gateway.tunnel.figures(), { egressConnections: 0, egressDials: 0 })
  t.same(agent.agent.reverse, { connections: 0, dials: 0 })
  await until(() => agent.agent.links[0]?.streamCount === 0)
})
