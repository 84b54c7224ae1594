// Clients of the lab: TLS and HTTP/1.1 from a host of the segment, from a new address each time, and how long they waited for what.

import type { ClientRequest, IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { Socket } from 'node:net'
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls'
import type { SocketAddress } from '../../src/core/net/socket-address.ts'
import { AF_INET, bind, check, close, connect, EINPROGRESS, errno, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket, sockaddrInBytes, SystemError } from '../../src/relay/linux/libc.ts'
import { SocketAddressCell } from '../../src/relay/linux/socket-address.ts'
import { sourceOf, type LabHost } from './segment.ts'

/** Each connection has a port of its own, by which the gateway's log is asked for it. */
const firstPort = 10_000
/** Far above every bound: who waits so long was forgotten. */
const patienceMs = 60_000

export interface Outcome {
  /** Absent where no answer came. */
  readonly status?: number
  readonly body: string
  /** What the client was told; empty where it was answered. */
  readonly error: string
  /** From the dial to the whole answer or the error. */
  readonly waitedMs: number
  /** As the gateway's log has it. */
  readonly client: string
}

export interface Watch {
  /** Who answers it: NODE:PORT. */
  readonly server: string
  readonly client: string
  /** All that it was told, its first line too. */
  readonly lines: readonly string[]
  /** How its connection ended, `closed` or an error's code; and when, by performance.now(). */
  readonly ended: Promise<{ readonly how: string; readonly atMs: number }>
  /** A byte more of its request, which nobody waits for: bytes in flight. */
  say(): void
  close(): void
}

export interface CallOptions {
  readonly to: SocketAddress
  readonly serverName: string
  /** @default '/who' */
  readonly path?: string
  /** One of the client's addresses. @default another one each time */
  readonly from?: string
}

const cell = new SocketAddressCell()

export class Client {
  readonly #host: LabHost
  readonly #index: number
  readonly #secureContext: ReturnType<typeof createSecureContext>
  #dials = 0

  /** @param index which of the segment's clients the host is */
  constructor({ host, index, caPem }: { readonly host: LabHost; readonly index: number; readonly caPem: string }) {
    this.#host = host
    this.#index = index
    this.#secureContext = createSecureContext({ ca: caPem })
  }

  async call(options: CallOptions): Promise<Outcome> {
    const startMs = performance.now()
    const { outgoing, client } = this.#request(options)
    outgoing.end()
    try {
      const incoming = await responseOf(outgoing)
      let body = ''
      for await (const chunk of incoming) body += String(chunk)
      return { status: incoming.statusCode ?? 0, body, error: '', waitedMs: performance.now() - startMs, client }
    } catch (error) {
      return { body: '', error: error instanceof Error ? error.message : String(error), waitedMs: performance.now() - startMs, client }
    }
  }

  /** Resolves with its first line. @throws what `call` would return as an error */
  async watch(options: CallOptions): Promise<Watch> {
    const { outgoing, tls, client } = this.#request(options, 'POST')
    outgoing.flushHeaders()
    const ended = new Promise<{ how: string; atMs: number }>((resolve) => {
      const end = (how: string): void => resolve({ how, atMs: performance.now() })
      tls.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
      tls.once('close', () => end('closed'))
    })
    const incoming = await responseOf(outgoing)
    outgoing.on('error', () => undefined).setTimeout(0)
    const lines: string[] = []
    const server = await new Promise<string>((resolve, reject) => {
      let rest = ''
      incoming.once('error', reject).setEncoding('utf8').on('data', (chunk: string) => {
        const whole = `${rest}${chunk}`.split('\n')
        rest = whole.pop() ?? ''
        lines.push(...whole)
        resolve(lines[0] ?? '')
      })
    })
    incoming.on('error', () => undefined)
    return { server, client, lines, ended, say: () => void outgoing.write('.'), close: () => void tls.destroy() }
  }

  /** A connection without a word. Readable: whatever it is told in the end. */
  dial(to: SocketAddress, address = sourceOf(this.#index, this.#dials)): Socket {
    const from = { address, port: firstPort + this.#dials++ }
    const plain = new Socket({ fd: dialFrom(this.#host, { from, to }), allowHalfOpen: true })
    plain.on('error', () => undefined)
    return plain
  }

  #request({ to, serverName, path = '/who', from }: CallOptions, method = 'GET'): { readonly outgoing: ClientRequest; readonly tls: TLSSocket; readonly client: string } {
    const plain = this.dial(to, from)
    const tls = connectTls({ socket: plain, servername: serverName, secureContext: this.#secureContext })
    const outgoing = request({
      host: to.address, method, path,
      createConnection: () => tls,
    })
    outgoing.setTimeout(patienceMs, () => outgoing.destroy(new Error(`no answer within ${patienceMs} ms`)))
    return { outgoing, tls, client: `${plain.localAddress}:${plain.localPort}` }
  }
}

async function responseOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    outgoing.once('response', resolve)
    outgoing.once('error', reject)
  })
}

/** @param from port 0: any @returns a descriptor whose connection is under way; whether it succeeds shows when it is used */
export function dialFrom(host: LabHost, { from, to }: { readonly from: SocketAddress; readonly to: SocketAddress }): number {
  const fd = host.namespace.within(() => check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket'))
  try {
    cell.encode(from)
    check(bind(fd, cell.address, sockaddrInBytes), 'bind')
    cell.encode(to)
    if (connect(fd, cell.address, sockaddrInBytes) === -1 && errno() !== EINPROGRESS) throw new SystemError('connect', errno())
    return fd
  } catch (error) {
    close(fd)
    throw error
  }
}
