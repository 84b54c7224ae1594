// The reference peer as a process, and our session on a connection to it.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import type { MuxLimits, SessionEnd } from '../../../src/core/mux/limits.ts'
import type { MuxStream, StreamHandler } from '../../../src/core/mux/stream.ts'
import { WindowBudget } from '../../../src/core/mux/window.ts'
import { MuxLink, type Wire } from '../../../src/tunnel/mux-link.ts'
import { webSocketWire } from '../../../src/tunnel/websocket-wire.ts'

const executable = fileURLToPath(new URL('../../../.cache/interop/yamux-peer', import.meta.url))

/** @returns why there is none, where Go is missing or can't build it */
export async function buildPeer(): Promise<string | undefined> {
  try {
    const env = { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' }
    await promisify(execFile)('go', ['build', '-mod=readonly', '-trimpath', '-o', executable, '.'], { cwd: fileURLToPath(new URL('.', import.meta.url)), env })
    return undefined
  } catch (error) {
    return `hashicorp/yamux takes Go to build: ${error instanceof Error ? error.message : String(error)}`
  }
}

type Transport = 'tcp' | 'websocket'

/** Collects what comes on a stream. */
export class Collected implements StreamHandler {
  stream: MuxStream | undefined
  readonly chunks: Buffer[] = []
  readonly ended = Promise.withResolvers<'finished' | 'reset'>()
  onData: (bytes: Uint8Array) => void = (bytes) => this.chunks.push(Buffer.from(bytes))
  onWritable: () => void = () => undefined

  data(bytes: Uint8Array): void {
    this.onData(bytes)
    this.stream?.consumed(bytes.length)
  }

  finished(): void {
    this.ended.resolve('finished')
  }

  reset(): void {
    this.ended.resolve('reset')
  }

  writable(): void {
    this.onWritable()
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get text(): string {
    return this.bytes.toString()
  }
}

export interface Ours {
  readonly link: MuxLink
  readonly end: Promise<SessionEnd>
  readonly isGoingAway: () => boolean
  /** A stream that asks the peer for something. */
  readonly ask: (what: string) => Collected & { readonly stream: MuxStream }
}

export interface PeerOptions {
  readonly theirRole: 'client' | 'server'
  readonly transport: Transport
  readonly limits?: Partial<MuxLimits>
  readonly opened?: (stream: MuxStream) => StreamHandler | undefined
}

export async function connectToPeer(t: Test, { theirRole, transport, limits = {}, opened = echo }: PeerOptions): Promise<Ours> {
  const child = spawn(executable, ['-role', theirRole, ...(transport === 'websocket' ? ['-websocket'] : [])], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [port]: string[] = await once(createInterface({ input: child.stdout }), 'line')
  const end = Promise.withResolvers<SessionEnd>()
  let away = false
  const link = (wire: Wire): MuxLink => new MuxLink({
    role: theirRole === 'server' ? 'client' : 'server', wire, budget: new WindowBudget(), limits, opened,
    goingAway: () => {
      away = true
    },
    ended: (how) => end.resolve(how),
  })
  const ours = transport === 'tcp' ? await overTcp(t, Number(port), link) : await overWebSocket(t, Number(port), link)
  return { link: ours, end: end.promise, isGoingAway: () => away, ask: (what) => ask(ours, what) }
}

async function overTcp(t: Test, port: number, create: (wire: Wire) => MuxLink): Promise<MuxLink> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  const link = create(streamWire(socket))
  socket.on('data', (bytes: Buffer) => link.received(bytes))
  socket.on('error', () => undefined)
  socket.on('close', () => link.closed('connection closed'))
  return link
}

async function overWebSocket(t: Test, port: number, create: (wire: Wire) => MuxLink): Promise<MuxLink> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false, origin: 'http://127.0.0.1' })
  t.teardown(() => socket.terminate())
  // Both come in one turn.
  const upgrading = once(socket, 'upgrade')
  await once(socket, 'open')
  const [upgraded]: IncomingMessage[] = await upgrading
  if (upgraded === undefined) throw new Error('unreachable')
  const link = create(webSocketWire(socket, upgraded.socket, 'client'))
  socket.on('message', (bytes: Buffer) => link.received(bytes))
  socket.on('error', () => undefined)
  socket.on('close', () => link.closed('connection closed'))
  return link
}

function ask({ session }: MuxLink, what: string): Collected & { readonly stream: MuxStream } {
  const collected = new Collected()
  const stream = session.open(collected)
  if (typeof stream === 'string') throw new Error(stream)
  collected.stream = stream
  stream.write(Buffer.from(`${what}\n`))
  return Object.assign(collected, { stream })
}

/** Every byte back, until FIN; no faster than they are taken. */
function echo(stream: MuxStream): StreamHandler {
  let owed = 0
  return {
    data: (bytes) => {
      if (stream.write(Buffer.from(bytes))) stream.consumed(bytes.length)
      else owed += bytes.length
    },
    finished: () => stream.finish(),
    reset: () => undefined,
    writable: () => {
      stream.consumed(owed)
      owed = 0
    },
  }
}

/** What the peer's `send` sends. */
export function pattern(bytes: number): Buffer {
  const all = Buffer.alloc(bytes)
  for (let index = 0; index < bytes; index++) all[index] = index * 31 >>> 3
  return all
}

function streamWire(stream: Socket): Wire {
  return {
    messageBytesMax: 16 * 1024,
    get unsentBytes() {
      return stream.writableLength
    },
    write: (parts, bytes, sent) => {
      stream.write(Buffer.concat(parts, bytes), sent)
    },
    close: () => stream.end(),
  }
}
