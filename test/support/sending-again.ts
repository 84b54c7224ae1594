// A TCP client that sends bytes a second time together with new ones in one packet, as the Linux kernel does when it merges
// small packets that it has to send again. By TCP_REPAIR: a socket goes without a word, and another goes on with its numbers.

import koffi from 'koffi'
import * as libc from '../../src/relay/linux/libc.ts'
import { SocketAddressCell } from '../../src/relay/linux/socket-address.ts'
import { until } from './sockets.ts'

/** <linux/tcp.h> */
const [TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_REPAIR_WINDOW] = [19, 20, 21, 29]
const repair = { on: 1, offSilently: -1 } as const
const queue = { receive: 1, send: 2 } as const
const windowBytes = 60_000

type SetOption = (fd: number, level: number, name: number, value: Uint8Array, byteLength: number) => number

const setsockopt = koffi.load(null).func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'int']) as unknown as SetOption

export class SendingAgainClient {
  readonly #memory = libc.allocate(64 * 1024)
  readonly #server = new SocketAddressCell()
  readonly #own = new SocketAddressCell()
  #fd: number

  /** @param port of 127.0.0.1 */
  constructor(port: number) {
    this.#server.encode({ address: '127.0.0.1', port })
    this.#fd = this.#open()
    libc.check(libc.connect(this.#fd, this.#server.address, libc.sockaddrInBytes), 'connect')
    this.#own.expect()
    libc.check(libc.getsockname(this.#fd, this.#own.address, this.#own.lengthAddress), 'getsockname')
  }

  send(bytes: Uint8Array): void {
    this.#memory.bytes.set(bytes)
    libc.check(libc.send(this.#fd, this.#memory.address, bytes.length, libc.MSG_NOSIGNAL), 'send')
  }

  /** @param old the last bytes that were sent, all of which the peer has */
  sendAgain(old: Uint8Array, more: Uint8Array): void {
    this.#set(TCP_REPAIR, repair.on)
    const [sent, received] = [this.#next(queue.send), this.#next(queue.receive)]
    libc.close(this.#fd)
    this.#fd = this.#open()
    this.#set(TCP_REPAIR, repair.on)
    this.#setNext(queue.send, sent - old.length)
    this.#setNext(queue.receive, received)
    libc.check(libc.bind(this.#fd, this.#own.address, libc.sockaddrInBytes), 'bind')
    libc.check(libc.connect(this.#fd, this.#server.address, libc.sockaddrInBytes), 'connect')
    // When the peer told its window, that and the largest one so far, the own one, and when that was told.
    const window = Buffer.from(new Uint32Array([received, windowBytes, windowBytes, windowBytes, received]).buffer)
    libc.check(setsockopt(this.#fd, libc.IPPROTO_TCP, TCP_REPAIR_WINDOW, window, window.length), 'setsockopt')
    this.#set(TCP_REPAIR, repair.offSilently)
    this.send(Buffer.concat([old, more]))
  }

  async read(byteLength: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    let have = 0
    await until(() => {
      const got = libc.recv(this.#fd, this.#memory.address, byteLength - have, libc.MSG_DONTWAIT)
      if (got > 0) pieces.push(Buffer.from(this.#memory.bytes.slice(0, got)))
      have += Math.max(0, got)
      return have >= byteLength
    })
    return Buffer.concat(pieces)
  }

  close(): void {
    libc.setResetOnClose(this.#fd)
    libc.close(this.#fd)
  }

  #open(): number {
    return libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
  }

  #next(which: number): number {
    this.#set(TCP_REPAIR_QUEUE, which)
    return libc.getIntOption(this.#fd, libc.IPPROTO_TCP, TCP_QUEUE_SEQ)
  }

  #setNext(which: number, sequence: number): void {
    this.#set(TCP_REPAIR_QUEUE, which)
    this.#set(TCP_QUEUE_SEQ, sequence)
  }

  #set(name: number, value: number): void {
    libc.check(libc.setIntOption(this.#fd, libc.IPPROTO_TCP, name, value), `setsockopt ${name}`)
  }
}
