// The clients and the backend of a worker's warm-up, on plain descriptors: each step does what can be done without waiting.
//
//   a client: connect, hello ─▶ its echo ─▶ message ─▶ its echo ─▶ … ─▶ RST, and again

import type { SocketAddress } from '../../core/net/socket-address.ts'
import * as libc from './libc.ts'
import { SocketAddressCell } from './socket-address.ts'

/** As long as today's hellos are, with their hybrid key shares. */
const helloBytes = 1_600
const messageBytes = 128
/** Behind the hello. */
const messagesEach = 2
const bufferBytes = 16 * 1024
const nonBlocking = libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC

export interface RehearsalClientsOptions {
  readonly target: SocketAddress
  readonly serverName: string
  /** Open at one time. */
  readonly count: number
}

interface Client {
  fd: number
  /** Of the answers that it waits for. */
  awaitedBytes: number
  messages: number
}

export class RehearsalClients {
  readonly #target = new SocketAddressCell()
  readonly #targetBytes: number
  readonly #buffer = libc.allocate(bufferBytes)
  readonly #hello = libc.allocate(helloBytes)
  readonly #clients: Client[]

  constructor({ target, serverName, count }: RehearsalClientsOptions) {
    this.#targetBytes = this.#target.encode(target) ?? 0
    this.#hello.bytes.set(helloFor(serverName))
    this.#clients = Array.from({ length: count }, () => ({ fd: -1, awaitedBytes: 0, messages: 0 }))
  }

  /** @throws {SystemError} */
  step(): void {
    for (const client of this.#clients) {
      if (client.fd === -1) this.#connect(client)
      else this.#read(client)
    }
  }

  close(): void {
    for (const client of this.#clients) this.#end(client)
  }

  #connect(client: Client): void {
    const fd = libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | nonBlocking, 0), 'socket')
    client.fd = fd
    client.messages = 0
    client.awaitedBytes = helloBytes
    // Loopback connects within the call, whatever it returns.
    if (libc.connect(fd, this.#target.address, this.#targetBytes) === -1 && libc.errno() !== libc.EINPROGRESS) throw new libc.SystemError('connect', libc.errno())
    libc.check(libc.send(fd, this.#hello.address, helloBytes, libc.MSG_NOSIGNAL), 'send')
  }

  #read(client: Client): void {
    const received = libc.recv(client.fd, this.#buffer.address, bufferBytes, 0)
    if (received === -1 && libc.errno() === libc.EAGAIN) return
    if (received > 0) {
      client.awaitedBytes -= received
      if (client.awaitedBytes > 0) return
      if (client.messages < messagesEach) {
        client.messages += 1
        client.awaitedBytes = messageBytes
        if (libc.send(client.fd, this.#buffer.address, messageBytes, libc.MSG_NOSIGNAL) === messageBytes) return
      }
    }
    this.#end(client)
  }

  /** With RST: nothing stays in TIME_WAIT. */
  #end(client: Client): void {
    if (client.fd === -1) return
    libc.setResetOnClose(client.fd)
    libc.close(client.fd)
    client.fd = -1
  }
}

export class RehearsalBackend {
  readonly #listenFd: number
  readonly #peer = new SocketAddressCell()
  readonly #buffer = libc.allocate(bufferBytes)
  #fds: number[] = []

  constructor(listenFd: number) {
    this.#listenFd = listenFd
  }

  step(): void {
    for (;;) {
      this.#peer.expect()
      const fd = libc.accept4(this.#listenFd, this.#peer.address, this.#peer.lengthAddress, nonBlocking)
      if (fd === -1) break
      this.#fds.push(fd)
    }
    this.#fds = this.#fds.filter((fd) => this.#echo(fd))
  }

  close(): void {
    for (const fd of this.#fds) libc.close(fd)
    this.#fds = []
  }

  /** @returns whether the connection goes on */
  #echo(fd: number): boolean {
    const received = libc.recv(fd, this.#buffer.address, bufferBytes, 0)
    if (received > 0 && libc.send(fd, this.#buffer.address, received, libc.MSG_NOSIGNAL) === received) return true
    if (received === -1 && libc.errno() === libc.EAGAIN) return true
    libc.close(fd)
    return false
  }
}

/** One record with a ClientHello (RFC 8446 §4.1.2) that has a name, and padding (RFC 7685) up to `helloBytes`. */
function helloFor(serverName: string): Buffer {
  const name = Buffer.from(serverName, 'latin1')
  const host = Buffer.concat([Buffer.from([0]), vector(2, name)])
  const names = extension(0, vector(2, host))
  const fixed = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32, 1), vector(1, Buffer.alloc(32, 2)), vector(2, Buffer.from([0x13, 1])), vector(1, Buffer.from([0]))])
  const headersBytes = 5 + 4 + 2 + 4
  const padding = extension(21, Buffer.alloc(helloBytes - headersBytes - fixed.length - names.length))
  const handshake = Buffer.concat([Buffer.from([1]), vector(3, Buffer.concat([fixed, vector(2, Buffer.concat([names, padding]))]))])
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(2, handshake)])
}

function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >>> 8, type & 0xff]), vector(2, body)])
}

/** Its length in so many bytes, then its content (RFC 8446 §3.4). */
function vector(lengthBytes: number, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(content.length, 0, lengthBytes)
  return Buffer.concat([length, content])
}
