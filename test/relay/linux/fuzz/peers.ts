// Clients and API servers that do at random what such do, a step at a time, on plain descriptors of the test's own thread. Each says a
// piece of one long text, from a place that is its client's alone, and compares every byte that comes with what the other one says.

import { encodeProxyHeader } from '../../../../src/core/proxy-protocol/encode.ts'
import * as libc from '../../../../src/relay/linux/libc.ts'
import { SocketAddressCell } from '../../../../src/relay/linux/socket-address.ts'
import { buildClientHello } from '../../../core/tls/hello-builder.ts'
import { Random } from '../../../soak/faults/random.ts'

/** Tenants, and what else a client may be. */
export const clientKinds = ['acme', 'acme', 'acme', 'mixed', 'refused', 'named', 'named-then-refused', 'tunnel', 'raw', 'proxy', 'garbage', 'unknown'] as const
export type ClientKind = typeof clientKinds[number]

const textBytes = 1024 * 1024
const saidBytesMax = textBytes / 2
const pieceBytes = { min: 1, max: 120_000 }
const bufferBytes = 128 * 1024
const mark = Buffer.from('this is client ')
const markBytes = mark.length + 4
/** One in so many reads nothing for long. */
const stallingShare = 0.1

const text = textOf(new Random(1))
const buffer = libc.allocate(bufferBytes)
const address = new SocketAddressCell()

function textOf(random: Random): Buffer {
  const bytes = Buffer.alloc(textBytes)
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(random.integer(0, 2 ** 32 - 1), at)
  return bytes
}

/** A byte that is not the one that was sent, or a byte too many. */
export class FuzzFault extends Error {}

export function openSocket(port: number, smallBuffer: boolean): number {
  const fd = libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK, 0), 'socket')
  if (smallBuffer) libc.resizeReceiveBuffer(fd, 4_096)
  address.encode({ address: '127.0.0.1', port })
  libc.connect(fd, address.address, libc.sockaddrInBytes)
  return fd
}

export function acceptFrom(listening: number): number {
  address.expect()
  return libc.accept4(listening, address.address, address.lengthAddress, libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC)
}

/** One end of a connection, client's or server's. */
abstract class Peer {
  readonly random: Random
  /** -1: closed. */
  fd: number
  saidBytes = 0
  heardBytes = 0
  hasFinished = false
  /** The other side has ended it. */
  isOver = false
  stalls: boolean

  constructor(fd: number, random: Random) {
    this.fd = fd
    this.random = random
    this.stalls = random.chance(stallingShare)
  }

  get isOpen(): boolean {
    return this.fd !== -1
  }

  close({ reset }: { readonly reset: boolean }): void {
    if (!this.isOpen) return
    if (reset) libc.setResetOnClose(this.fd)
    libc.close(this.fd)
    this.fd = -1
  }

  finish(): void {
    if (!this.isOpen || this.hasFinished) return
    libc.shutdown(this.fd, libc.SHUT_WR)
    this.hasFinished = true
  }

  /** @returns how many bytes were taken */
  protected give(bytes: Uint8Array): number {
    buffer.bytes.set(bytes)
    return Math.max(0, libc.send(this.fd, buffer.address, bytes.length, libc.MSG_NOSIGNAL))
  }

  /** @param from where what it says begins */
  protected goOn(from: number, weights: Readonly<Record<'say' | 'finish' | 'reset' | 'nothing', number>>): void {
    switch (this.random.weighted(weights)) {
      case 'say':
        if (!this.hasFinished) this.saidBytes += this.give(this.nextPiece(from))
        break
      case 'finish': this.finish(); break
      case 'reset': this.close({ reset: true }); break
      default: break
    }
  }

  /** A piece of the text, from where it stopped. @returns its bytes */
  protected nextPiece(from: number): Buffer {
    const byteLength = Math.min(this.random.size(pieceBytes.min, pieceBytes.max), saidBytesMax - this.saidBytes)
    return text.subarray(from + this.saidBytes, from + this.saidBytes + byteLength)
  }

  /** @returns what has come, if anything has */
  protected take(): Buffer | undefined {
    if (!this.isOpen || this.isOver || (this.stalls && this.random.chance(0.95))) return undefined
    const received = libc.recv(this.fd, buffer.address, this.random.size(16, bufferBytes), 0)
    if (received > 0) return Buffer.from(buffer.bytes.subarray(0, received))
    if (received === 0 || libc.errno() !== libc.EAGAIN) this.isOver = true
    return undefined
  }
}

export class FuzzClient extends Peer {
  readonly kind: ClientKind
  readonly number: number
  /** What its server is to hear first, whole. */
  readonly greeting: Buffer
  server: FuzzServer | undefined
  readonly #head: Buffer
  #headSaid = 0

  constructor(fd: number, random: Random, { kind, number }: { readonly kind: ClientKind; readonly number: number }) {
    super(fd, random)
    this.kind = kind
    this.number = number
    const numbered = Buffer.alloc(markBytes)
    mark.copy(numbered)
    numbered.writeUInt32BE(number, mark.length)
    this.greeting = Buffer.concat([helloOf(kind, random), numbered])
    const header = kind === 'proxy' ? encodeProxyHeader({ version: 'v2', source: { address: '192.0.2.1', port: 5 }, destination: { address: '192.0.2.2', port: 6 } }) : Buffer.alloc(0)
    this.#head = Buffer.concat([header, this.greeting])
  }

  /** Where what it says begins. */
  get from(): number {
    return this.number * 977 % saidBytesMax
  }

  get hasGreeted(): boolean {
    return this.#headSaid === this.#head.length
  }

  /** @param head what was read of it, from its greeting on; it may end anywhere */
  hasBegunWith(head: Uint8Array): boolean {
    const [greeted, said] = [head.subarray(0, this.greeting.length), head.subarray(this.greeting.length)]
    return this.greeting.subarray(0, greeted.length).equals(greeted) && said.length <= this.saidBytes && text.subarray(this.from, this.from + said.length).equals(said)
  }

  act(): void {
    if (!this.isOpen) return
    if (this.hasGreeted) this.goOn(this.from, { say: 50, finish: 6, reset: 3, nothing: 41 })
    else this.#greet()
  }

  #greet(): void {
    if (this.random.chance(0.03)) this.close({ reset: this.random.chance(0.5) })
    else if (this.random.chance(0.02)) this.finish()
    if (!this.isOpen || this.hasFinished) return
    const left = this.#head.length - this.#headSaid
    const headBytes = this.random.chance(0.75) ? left : this.random.integer(1, left)
    const behind = headBytes === left && this.random.chance(0.4) ? this.nextPiece(this.from) : Buffer.alloc(0)
    const given = this.give(Buffer.concat([this.#head.subarray(this.#headSaid, this.#headSaid + headBytes), behind]).subarray(0, bufferBytes))
    this.#headSaid += Math.min(headBytes, given)
    this.saidBytes += Math.max(0, given - headBytes)
    if (this.hasGreeted && this.random.chance(0.15)) this.finish()
    if (this.random.chance(0.04)) this.close({ reset: true })
  }

  listen(): void {
    const bytes = this.take()
    if (bytes === undefined) return
    const from = serverFrom(this) + this.heardBytes
    const isServers = this.heardBytes + bytes.length <= (this.server?.saidBytes ?? 0) && bytes.equals(text.subarray(from, from + bytes.length))
    if (!isServers && this.heardBytes === 0 && isAlert(bytes)) {
      this.isOver = true
      return
    }
    if (!isServers) throw new FuzzFault(`client ${this.number} (${this.kind}) was sent ${bytes.length} bytes that its server has not said, after ${this.heardBytes}: of ${this.server?.saidBytes ?? 'none'}`)
    this.heardBytes += bytes.length
  }
}

export class FuzzServer extends Peer {
  #client: FuzzClient | undefined
  #first = Buffer.alloc(0)

  /** @param clients by number, from 1 */
  act(clients: readonly FuzzClient[]): void {
    if (!this.isOpen) return
    this.#listen(clients)
    const client = this.#client
    if (client !== undefined) this.goOn(serverFrom(client), { say: 40, finish: 8, reset: 3, nothing: 49 })
    else if (this.random.chance(0.02)) this.close({ reset: this.random.chance(0.5) })
  }

  #listen(clients: readonly FuzzClient[]): void {
    const bytes = this.take()
    if (bytes === undefined) return
    const client = this.#client
    if (client !== undefined) {
      this.#heard(client, bytes)
      return
    }
    this.#first = Buffer.concat([this.#first, bytes])
    const at = this.#first.indexOf(mark)
    if (at === -1 || this.#first.length < at + markBytes) return
    const number = this.#first.readUInt32BE(at + mark.length)
    const its = clients[number - 1]
    if (its === undefined || !this.#first.subarray(0, at + markBytes).equals(its.greeting)) throw new FuzzFault(`a server was greeted otherwise than client ${number} has greeted`)
    this.#client = its
    its.server = this
    this.#heard(its, this.#first.subarray(at + markBytes))
  }

  #heard(client: FuzzClient, bytes: Buffer): void {
    const from = client.from + this.heardBytes
    if (this.heardBytes + bytes.length > client.saidBytes) throw new FuzzFault(`the server of client ${client.number} (${client.kind}) was sent more than that has said`)
    if (!bytes.equals(text.subarray(from, from + bytes.length))) throw new FuzzFault(`the server of client ${client.number} (${client.kind}) was sent other bytes than that one's, after ${this.heardBytes}`)
    this.heardBytes += bytes.length
  }
}

/** The gateway's, in place of any answer: a record with a fatal alert (RFC 8446 §6). */
function isAlert(bytes: Uint8Array): boolean {
  return bytes.length === 7 && bytes[0] === 21 && bytes[5] === 2
}

/** Where what a client's server says begins. */
function serverFrom({ number }: FuzzClient): number {
  return (number * 3_571 + 7) % saidBytesMax
}

function helloOf(kind: ClientKind, random: Random): Buffer {
  if (kind === 'garbage') return Buffer.from('GET / HTTP/1.1\r\n\r\n')
  if (kind === 'raw') return Buffer.alloc(0)
  return buildClientHello({ serverName: `${kind === 'proxy' ? 'acme' : kind}.example.test`, paddingBytes: random.chance(0.1) ? 9_000 : 10 })
}
