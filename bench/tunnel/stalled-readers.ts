// Readers that have stopped: each has a stream from a source that pushes as much as it can, and reads nothing of it. What is
// under way then lies in the tunnel, and little of it in sockets: those here are small, with segments of Ethernet's size (by
// which the system sizes the sender's buffer), and the source's is bounded.

import { setTimeout as delay } from 'node:timers/promises'
import {
  allocate, check, close, connect, EAGAIN, EINPROGRESS, errno, free, IPPROTO_TCP, MSG_DONTWAIT, MSG_NOSIGNAL, recv, send, setIntOption,
  setResetOnClose, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket, SOL_SOCKET,
} from '../../src/relay/linux/libc.ts'
import type { Backends } from '../load/backends.ts'
import type { LoadTarget } from '../load/load.ts'
import { connectFault, connectHead, targetAddress } from '../load/target-address.ts'

/** <sys/socket.h>, <netinet/tcp.h> */
const MSG_PEEK = 2
const SO_RCVBUF = 8
const TCP_MAXSEG = 2
const receiveBytes = 16 * 1024
const segmentBytes = 1_460
/** Opened at the same time. */
const openingMax = 16
const openTimeoutMs = 3_000
const pollMs = 5
/** Nothing more has been sent for so long: all is full. */
const quietMs = 500
const quietTimeoutMs = 20_000
const answerBytesMax = 1_024

export class StalledReaders {
  readonly #fds: number[] = []
  readonly #target: LoadTarget

  /** @param target the bounded source */
  constructor(target: LoadTarget) {
    this.#target = target
  }

  get count(): number {
    return this.#fds.length
  }

  /**
   * Resolves when the tunnel takes no more for them.
   * @returns why there are fewer than were asked for
   */
  async open(count: number, backends: Backends): Promise<string | undefined> {
    let fault: string | undefined
    while (this.#fds.length < count && fault === undefined) fault = await this.#openSome(Math.min(openingMax, count - this.#fds.length))
    await untilQuiet(backends)
    return fault
  }

  close(): void {
    for (const fd of this.#fds.splice(0)) {
      setResetOnClose(fd)
      close(fd)
    }
  }

  /** Until each has had its first byte, which stays where it is. */
  async #openSome(count: number): Promise<string | undefined> {
    const address = targetAddress(this.#target)
    const [head, hello, answer] = [memoryOf(connectHead(this.#target)), memoryOf(this.#target.hello), allocate(answerBytesMax)]
    const opening: { readonly fd: number, isGreeted: boolean }[] = []
    const send_ = (fd: number, { address: from, bytes }: typeof hello): void => void check(send(fd, from, bytes.length, MSG_NOSIGNAL), 'send')
    try {
      for (let index = 0; index < count; index += 1) {
        const fd = check(socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket')
        opening.push({ fd, isGreeted: address.isTcp })
        check(setIntOption(fd, SOL_SOCKET, SO_RCVBUF, receiveBytes), 'setsockopt')
        if (address.isTcp) check(setIntOption(fd, IPPROTO_TCP, TCP_MAXSEG, segmentBytes), 'setsockopt')
        if (connect(fd, address.address, address.addressBytes) === -1 && errno() !== EINPROGRESS) check(-1, 'connect')
        // On the loopback interface, and on a Unix socket, it is connected by now.
        send_(fd, address.isTcp ? hello : head)
      }
      const deadlineMs = performance.now() + openTimeoutMs
      for (let first = opening[0]; first !== undefined; first = opening[0]) {
        const { fd, isGreeted } = first
        const received = recv(fd, answer.address, answerBytesMax, isGreeted ? MSG_DONTWAIT | MSG_PEEK : MSG_DONTWAIT)
        if (received === -1 && errno() === EAGAIN) {
          if (performance.now() > deadlineMs) return `no ${isGreeted ? 'byte' : 'answer to a CONNECT'} within ${openTimeoutMs / 1000} s`
          await delay(pollMs)
        } else if (isGreeted && received > 0) {
          this.#fds.push(fd)
          opening.shift()
        } else {
          const fault = isGreeted ? 'a stream ended' : connectFault(answer.bytes.subarray(0, Math.max(0, received)))
          if (fault !== undefined) return fault
          first.isGreeted = true
          send_(fd, hello)
        }
      }
      return undefined
    } finally {
      for (const { fd } of opening) close(fd)
      for (const memory of [head, hello, answer]) free(memory)
      address.free()
    }
  }
}

function memoryOf(bytes: Uint8Array): ReturnType<typeof allocate> {
  const memory = allocate(Math.max(1, bytes.length))
  memory.bytes.set(bytes)
  return memory
}

async function untilQuiet(backends: Backends): Promise<void> {
  const deadlineMs = performance.now() + quietTimeoutMs
  let [sentBytes, sinceMs] = [-1, performance.now()]
  while (performance.now() < deadlineMs) {
    const counted = (await backends.counters()).reduce((sum, each) => sum + each.sentBytes, 0)
    if (counted !== sentBytes) [sentBytes, sinceMs] = [counted, performance.now()]
    else if (performance.now() - sinceMs >= quietMs) return
    await delay(pollMs * 10)
  }
}
