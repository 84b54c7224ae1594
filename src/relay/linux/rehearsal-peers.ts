// The clients and the backend of a worker's warm-up, on plain descriptors: each step does what can be done without waiting.
//
//   a client: connect, hello ─▶ its echo ─▶ message ─▶ its echo ─▶ … ─▶ RST, or FIN and its answer, and again

import type { SocketAddress } from '../../core/net/socket-address.ts'
import * as libc from './libc.ts'
import { SocketAddressCell } from './socket-address.ts'

/** As long as today's hellos are, with their hybrid key shares. */
const helloBytes = 1_600
const messageBytes = 128
/** Behind the hello. */
const messagesEach = 1
/** One of so many ends with FIN, for its way to be known: it leaves two sockets in TIME_WAIT. */
const clientsToFin = 16
const bufferBytes = 16 * 1024
const nonBlocking = libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC

export interface RehearsalClientsOptions {
  readonly target: SocketAddress
  /** That they ask for, in turn. */
  readonly serverNames: readonly string[]
  /** Open at one time. */
  readonly count: number
}

interface Client {
  fd: number
  /** Of the answers that it waits for. */
  awaitedBytes: number
  messages: number
  endsWithFin: boolean
}

export class RehearsalClients {
  readonly #target = new SocketAddressCell()
  readonly #targetBytes: number
  readonly #buffer = libc.allocate(bufferBytes)
  /** One behind the other. */
  readonly #hellos: libc.NativeMemory
  readonly #hellosCount: number
  readonly #clients: Client[]
  #connections = 0

  constructor({ target, serverNames, count }: RehearsalClientsOptions) {
    this.#targetBytes = this.#target.encode(target) ?? 0
    this.#hellos = libc.allocate(serverNames.length * helloBytes)
    this.#hellosCount = serverNames.length
    for (const [index, serverName] of serverNames.entries()) this.#hellos.bytes.set(helloFor(serverName), index * helloBytes)
    this.#clients = Array.from({ length: count }, () => ({ fd: -1, awaitedBytes: 0, messages: 0, endsWithFin: false }))
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
    client.endsWithFin = ++this.#connections % clientsToFin === 0
    client.awaitedBytes = helloBytes
    // Loopback connects within the call, whatever it returns.
    if (libc.connect(fd, this.#target.address, this.#targetBytes) === -1 && libc.errno() !== libc.EINPROGRESS) throw new libc.SystemError('connect', libc.errno())
    const hello = this.#hellos.address + this.#connections % this.#hellosCount * helloBytes
    libc.check(libc.send(fd, hello, helloBytes, libc.MSG_NOSIGNAL), 'send')
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
      } else if (client.endsWithFin) {
        client.awaitedBytes = Infinity
        libc.shutdown(client.fd, libc.SHUT_WR)
        return
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

/** One record with a ClientHello (RFC 8446 §4.1.2), with the extensions that OpenSSL sends, of which the key share fills it up to `helloBytes`. */
function helloFor(serverName: string): Buffer {
  const host = Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(serverName, 'latin1'))])
  const protocols = Buffer.concat(['h2', 'http/1.1'].map((name) => vector(1, Buffer.from(name, 'latin1'))))
  const withoutShare = [
    extension(0xff01, Buffer.alloc(1)), extension(0, vector(2, host)), extension(11, Buffer.alloc(4)), extension(10, Buffer.alloc(18)), extension(35, Buffer.alloc(0)),
    extension(16, vector(2, protocols)), extension(22, Buffer.alloc(0)), extension(23, Buffer.alloc(0)), extension(13, Buffer.alloc(54)),
    extension(43, vector(1, Buffer.from([3, 4, 3, 3]))), extension(45, Buffer.from([1, 1])),
  ]
  const fixed = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32, 1), vector(1, Buffer.alloc(32, 2)), vector(2, Buffer.alloc(104, 3)), vector(1, Buffer.from([0]))])
  const headersBytes = 5 + 4 + 2 + 4
  const share = extension(51, Buffer.alloc(helloBytes - headersBytes - fixed.length - Buffer.concat(withoutShare).length))
  const handshake = Buffer.concat([Buffer.from([1]), vector(3, Buffer.concat([fixed, vector(2, Buffer.concat([...withoutShare, share]))]))])
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
