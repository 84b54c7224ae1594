// What every driver of stream sockets does, on real connections.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import type { SocketHandler, SocketListener, StreamSocket, StreamSockets } from '../../src/core/tunnel/stream-sockets.ts'
import { createNodeSockets } from '../../src/tunnel/node-sockets.ts'
import { dial as dialNode, readBytes, readToEnd, startBackend, startEcho, startFlood, until } from '../support/sockets.ts'
import { freePort } from '../../bench/free-port.ts'

const drivers: readonly (readonly [name: string, sockets: StreamSockets])[] = [
  ['node', createNodeSockets()],
  ...(process.platform === 'linux' ? [['linux', new (await import('../../src/relay/linux/stream-sockets.ts')).LinuxStreamSockets()] as const] : []),
]

/** Short: a socket's path has 107 characters at most. */
function shortFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

/** Keeps what it is told. */
class Heard implements SocketHandler {
  readonly chunks: Buffer[] = []
  isFinished = false
  takenBytes = 0
  /** undefined: it is open */
  isWhole: boolean | undefined
  closes = 0
  onData: (bytes: Uint8Array) => void = () => undefined

  received(bytes: Uint8Array): void {
    this.chunks.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
    this.onData(bytes)
  }

  peerFinished(): void {
    this.isFinished = true
  }

  taken(bytes: number): void {
    this.takenBytes += bytes
  }

  closed(isWhole: boolean): void {
    this.isWhole = isWhole
    this.closes += 1
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

interface Opened {
  readonly socket: StreamSocket
  readonly heard: Heard
}

function hear(t: Test, socket: StreamSocket): Opened {
  const heard = new Heard()
  socket.handler = heard
  t.teardown(() => socket.reset())
  return { socket, heard }
}

async function opened(t: Test, sockets: StreamSockets, port: number, address = '127.0.0.1'): Promise<Opened> {
  return await new Promise((resolve, reject) => {
    sockets.dial({ to: { address, port }, connected: (socket) => resolve(hear(t, socket)), failed: (code) => reject(new Error(code)) })
  })
}

async function failure(sockets: StreamSockets, to: { readonly address: string; readonly port: number }): Promise<string> {
  return await new Promise((resolve, reject) => {
    sockets.dial({ to, connected: () => reject(new Error('connected')), failed: resolve })
  })
}

interface Listening {
  readonly listener: SocketListener
  readonly accepted: Opened[]
  readonly counts: { dropped: number }
}

async function listening(t: Test, sockets: StreamSockets, { at = { address: '127.0.0.1', port: 0 }, openMax }: { readonly at?: { readonly address: string; readonly port: number } | { readonly path: string }; readonly openMax?: number } = {}): Promise<Listening> {
  const accepted: Opened[] = []
  const counts = { dropped: 0 }
  const listener = await sockets.listen({
    at, backlog: 511, ...(openMax === undefined ? {} : { openMax }),
    accepted: (socket) => accepted.push(hear(t, socket)),
    dropped: () => {
      counts.dropped += 1
    },
    failed: (error) => t.fail(error.message),
  })
  t.teardown(() => listener.close())
  return { listener, accepted, counts }
}

/** A pair: the driver's end, accepted, and node's. */
async function pair(t: Test, sockets: StreamSockets): Promise<Opened & { readonly peer: Socket }> {
  const { listener, accepted } = await listening(t, sockets)
  const peer = await dialNode(t, listener.bound?.port ?? 0)
  await until(() => accepted.length === 1)
  const [own] = accepted
  if (own === undefined) throw new Error('none was accepted')
  return { ...own, peer }
}

for (const [name, sockets] of drivers) {
  void test(`${name}: what is written comes back, and FIN behind it ends both ways`, async (t) => {
    const echo = await startEcho(t)
    const { socket, heard } = await opened(t, sockets, echo.port)
    socket.resume()
    const said = Buffer.from('in several pieces, some of them large')
    const all = Buffer.concat([said, Buffer.alloc(100_000, 'a'), said])
    let taken = 0
    for (const piece of [all.subarray(0, 10), all.subarray(10, 60_000), all.subarray(60_000)]) taken += socket.write(piece)
    await until(() => taken + heard.takenBytes === all.length)
    socket.finish()
    await until(() => heard.closes === 1)
    t.ok(heard.bytes.equals(all))
    t.equal(heard.isFinished, true)
    t.equal(heard.isWhole, true)
  })

  void test(`${name}: a peer is named, over IPv6 as well`, async (t) => {
    const { listener, accepted } = await listening(t, sockets, { at: { address: '::1', port: 0 } })
    const bound = listener.bound
    t.match(bound, { address: '::1' })
    const client = await opened(t, sockets, bound?.port ?? 0, '::1')
    await until(() => accepted.length === 1)
    t.same(client.socket.peer, { address: '::1', port: bound?.port })
    t.match(accepted[0]?.socket.peer, { address: '::1' })
  })

  void test(`${name}: who greets is heard`, async (t) => {
    const backend = await startBackend(t, (socket) => socket.write('hello'))
    const { socket, heard } = await opened(t, sockets, backend.port)
    socket.resume()
    await until(() => heard.bytes.toString() === 'hello')
  })

  void test(`${name}: nothing is read before resume, nor while it is paused`, async (t) => {
    const { socket, heard, peer } = await pair(t, sockets)
    peer.write('early')
    const other = await pair(t, sockets)
    other.socket.resume()
    other.peer.write('a later one is heard')
    await until(() => other.heard.chunks.length > 0)
    t.equal(heard.chunks.length, 0)
    socket.resume()
    await until(() => heard.bytes.toString() === 'early')
    heard.onData = () => socket.pause()
    peer.write(Buffer.alloc(4 * 1024 * 1024))
    await until(() => heard.chunks.length === 2)
    other.peer.write('and one more')
    await until(() => other.heard.chunks.length > 1)
    t.equal(heard.chunks.length, 2)
    heard.onData = () => undefined
    socket.resume()
    await until(() => heard.bytes.length === 5 + 4 * 1024 * 1024)
  })

  void test(`${name}: FIN ends one way, and the other goes on`, async (t) => {
    const { socket, heard, peer } = await pair(t, sockets)
    socket.resume()
    peer.end('all that I have')
    await until(() => heard.isFinished)
    t.equal(heard.bytes.toString(), 'all that I have')
    t.equal(heard.closes, 0)
    socket.write(Buffer.from('still here'))
    t.equal((await readBytes(peer, 10)).toString(), 'still here')
    socket.finish()
    t.equal((await readToEnd(peer)).how, 'fin')
    await until(() => heard.isWhole === true)
  })

  void test(`${name}: RST of the peer is told as a loss, behind what came before it`, async (t) => {
    const { socket, heard, peer } = await pair(t, sockets)
    await new Promise<void>((resolve) => {
      peer.write('last words', () => resolve())
    })
    peer.resetAndDestroy()
    socket.resume()
    await until(() => heard.closes === 1)
    if (name === 'linux') t.equal(heard.bytes.toString(), 'last words')
    t.equal(heard.isWhole, false)
    t.equal(heard.isFinished, false)
  })

  void test(`${name}: its own RST throws away what waits, and nothing more is told`, async (t) => {
    const { socket, heard, peer } = await pair(t, sockets)
    socket.resume()
    peer.pause()
    socket.write(Buffer.alloc(16 * 1024 * 1024))
    socket.reset()
    t.equal((await readToEnd(peer)).how, 'ECONNRESET')
    t.equal(heard.closes, 0)
    t.equal(socket.write(Buffer.from('for nobody')), 10, 'thrown away')
    socket.finish()
    socket.reset()
  })

  void test(`${name}: bytes that the peer does not read are not taken, and it reads them all in the end`, async (t) => {
    const { socket, heard, peer } = await pair(t, sockets)
    peer.pause()
    const piece = Buffer.alloc(64 * 1024, 'x')
    let [written, taken] = [0, 0]
    await until(() => {
      if (taken + heard.takenBytes < written) return true
      taken += socket.write(piece)
      written += piece.length
      return false
    })
    const more = Buffer.alloc(32 * 1024 * 1024, 'y')
    taken += socket.write(more)
    written += more.length
    await until(() => written - taken - heard.takenBytes > 16 * 1024 * 1024)
    const ending = readToEnd(peer)
    await until(() => taken + heard.takenBytes === written)
    socket.finish()
    const { bytes } = await ending
    t.equal(bytes.length, written)
    t.equal(bytes.at(-1), 'y'.charCodeAt(0))
  })

  void test(`${name}: a peer that is gone while bytes wait is a loss`, async (t) => {
    const { socket, heard, peer } = await pair(t, sockets)
    socket.resume()
    peer.pause()
    socket.write(Buffer.alloc(32 * 1024 * 1024))
    peer.resetAndDestroy()
    await until(() => heard.closes === 1)
    t.equal(heard.isWhole, false)
    t.equal(socket.write(Buffer.alloc(3)), 3)
  })

  void test(`${name}: a flood does not hold up others, and stops when it is paused`, async (t) => {
    const flood = await startFlood(t)
    const { socket, heard } = await opened(t, sockets, flood.port)
    heard.received = () => undefined
    socket.resume()
    const { socket: own, heard: ownHeard, peer } = await pair(t, sockets)
    own.resume()
    peer.write('through')
    await until(() => ownHeard.bytes.toString() === 'through')
    socket.pause()
    const stalled = await flood.stalled()
    t.ok(stalled > 0)
  })

  void test(`${name}: a dial that is refused says so, and one that can't begin too`, async (t) => {
    t.equal(await failure(sockets, { address: '127.0.0.1', port: await freePort() }), 'ECONNREFUSED')
    t.match(await failure(sockets, { address: '255.255.255.255', port: 1 }), /^E(NETUNREACH|ACCES|HOSTUNREACH|INVAL)$/)
  })

  void test(`${name}: of a dial that was abandoned nothing is told`, async (t) => {
    const echo = await startEcho(t)
    let told = 0
    const tell = (): void => {
      told += 1
    }
    const under = [echo.port, await freePort()].map((port) => sockets.dial({ to: { address: '127.0.0.1', port }, connected: tell, failed: tell }))
    under.push(sockets.dial({ to: { address: '255.255.255.255', port: 1 }, connected: tell, failed: tell }))
    for (const dial of under) dial.abandon()
    const { socket, heard } = await opened(t, sockets, echo.port)
    socket.resume()
    socket.write(Buffer.from('x'))
    await until(() => heard.bytes.length === 1)
    t.equal(told, 0)
  })

  void test(`${name}: giving up a dial that has its result changes nothing`, async (t) => {
    const echo = await startEcho(t)
    const { promise, resolve } = Promise.withResolvers<Opened>()
    const dial = sockets.dial({
      to: { address: '127.0.0.1', port: echo.port }, failed: (code) => t.fail(code),
      connected: (socket) => {
        dial.abandon()
        resolve(hear(t, socket))
      },
    })
    const { socket, heard } = await promise
    dial.abandon()
    socket.resume()
    socket.write(Buffer.from('still there'))
    await until(() => heard.bytes.toString() === 'still there')
  })

  void test(`${name}: many connections at once`, async (t) => {
    const { listener, accepted } = await listening(t, sockets)
    const clients = await Promise.all(Array.from({ length: 300 }, async () => await opened(t, sockets, listener.bound?.port ?? 0)))
    await until(() => accepted.length === clients.length)
    for (const { socket, heard } of accepted) {
      heard.onData = (bytes) => socket.write(bytes)
      socket.resume()
    }
    for (const [index, { socket }] of clients.entries()) {
      socket.resume()
      socket.write(Buffer.from(String(index)))
    }
    await until(() => clients.every(({ heard }, index) => heard.bytes.toString() === String(index)))
    for (const { socket } of clients.filter((_, index) => index % 2 === 0)) socket.reset()
    for (const { socket } of clients.filter((_, index) => index % 2 === 1)) socket.finish()
    await until(() => accepted.filter(({ heard }) => heard.closes === 1).length === 150 && accepted.filter(({ heard }) => heard.isFinished).length === 150)
    for (const { socket, heard } of accepted) if (heard.isFinished) socket.finish()
    await until(() => clients.filter(({ heard }) => heard.isWhole === true).length === 150)
  })

  void test(`${name}: a Unix socket has no names, and an end for a reset`, async (t) => {
    const path = join(shortFolder(t), 'a.sock')
    const { listener, accepted } = await listening(t, sockets, { at: { path } })
    t.equal(listener.bound, undefined)
    const peer = connect({ path, allowHalfOpen: true })
    t.teardown(() => peer.destroy())
    await once(peer, 'connect')
    await until(() => accepted.length === 1)
    const [own] = accepted
    if (own === undefined) return
    t.equal(own.socket.peer, undefined)
    own.heard.onData = (bytes) => own.socket.write(bytes)
    own.socket.resume()
    const said = Buffer.alloc(1024 * 1024, 'z')
    peer.write(said)
    t.ok((await readBytes(peer, said.length)).equals(said))
    own.socket.reset()
    t.equal((await readToEnd(peer)).how, 'fin')
  })

  void test(`${name}: connections over the most are closed at once and told of, until others have ended`, async (t) => {
    const { listener, accepted, counts } = await listening(t, sockets, { openMax: 2 })
    const port = listener.bound?.port ?? 0
    await dialNode(t, port)
    const second = await dialNode(t, port)
    await until(() => accepted.length === 2)
    await readToEnd(await dialNode(t, port))
    t.equal(counts.dropped, 1)
    accepted[1]?.socket.reset()
    await readToEnd(second)
    await dialNode(t, port)
    await until(() => accepted.length === 3)
  })

  void test(`${name}: an address or a path that is taken is an error, and one that was given up is free`, async (t) => {
    const taken = createServer().listen(0, '127.0.0.1')
    t.teardown(() => taken.close())
    await once(taken, 'listening')
    const bound = taken.address()
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0
    await t.rejects(listening(t, sockets, { at: { address: '127.0.0.1', port } }), { code: 'EADDRINUSE' })
    const path = join(shortFolder(t), 'a.sock')
    await listening(t, sockets, { at: { path } })
    await t.rejects(listening(t, sockets, { at: { path } }), { code: 'EADDRINUSE' })
    await t.rejects(listening(t, sockets, { at: { path: join(shortFolder(t), 'x'.repeat(200)) } }))
    const first = await listening(t, sockets)
    first.listener.close()
    first.listener.close()
    const again = first.listener.bound
    if (again !== undefined) await listening(t, sockets, { at: again })
  })
}
