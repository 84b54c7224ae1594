// The connections of a generator's thread, by slot: connects them, sends the hello, and tells of what comes.
//
//   closed ─open─▶ connecting ─hello sent─▶ open ─reset, or broken─▶ closed        a slot can be opened again
//                      └─CONNECT sent─▶ asking ─200: hello sent─▶ open             where the target has a proxy
//
// `requests` are watched edge-triggered: a short read has emptied the socket, so an answer costs one recv. `bulk` is watched
// level-triggered, which takes turns by itself, and what is read is not looked at: recv with MSG_TRUNC discards it (tcp(7)).

import {
  allocate, close, connect, EAGAIN, EINPROGRESS, EINTR, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, errno, free,
  IPPROTO_TCP, MSG_NOSIGNAL, type NativeMemory, recv, send, setIntOption, setResetOnClose, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM,
  socket, SystemError, TCP_NODELAY,
} from '../../src/relay/linux/libc.ts'
import { type EventHandler, type EventLoop, MSG_TRUNC } from './event-loop.ts'
import type { LoadTarget } from './load.ts'
import { bindTo } from './raw-socket.ts'
import { connectFault, connectHead, type TargetAddress, targetAddress } from './target-address.ts'

const writableEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP
const readableEvents = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR
const endingEvents = EPOLLRDHUP | EPOLLHUP | EPOLLERR

export interface ClientOwner {
  /** Before each wait. @returns how long that may be, in whole milliseconds */
  beforeWait(nowMs: number): number
  /** The hello has been given to the system. */
  connected(slot: number): void
  /** So many bytes have come; those of `requests` are in the loop's `incoming` until this returns. */
  read(slot: number, byteLength: number): void
  /** There is room in the socket; only of what `watchWritable` was called for. */
  writable(slot: number): void
  /** It ended, though not through `reset`. Called once, and not from within `open`. */
  broken(slot: number, reason: string): void
}

export interface ClientsOptions {
  readonly loop: EventLoop
  readonly target: LoadTarget
  readonly slots: number
  readonly traffic: 'requests' | 'bulk'
  readonly owner: ClientOwner
}

const slotState = { closed: 0, connecting: 1, asking: 2, open: 3 } as const

export class Clients implements EventHandler {
  readonly #loop: EventLoop
  readonly #owner: ClientOwner
  readonly #bulk: boolean
  readonly #sources: readonly string[]
  readonly #address: TargetAddress
  readonly #hello: NativeMemory
  readonly #helloBytes: number
  /** The CONNECT; empty where there is no proxy. */
  readonly #head: NativeMemory
  readonly #headBytes: number
  readonly #fds: Int32Array
  readonly #state: Uint8Array
  /** Times that the slot was opened: whether it is still the same connection. */
  readonly #openings: Uint32Array
  /** Those that failed within `open`. */
  #failed: { readonly slot: number, readonly reason: string }[] = []

  /** Takes the loop, until `close`. */
  constructor({ loop, target, slots, traffic, owner }: ClientsOptions) {
    this.#loop = loop
    this.#owner = owner
    this.#bulk = traffic === 'bulk'
    this.#sources = target.sources ?? []
    this.#helloBytes = target.hello.length
    this.#hello = allocate(this.#helloBytes)
    this.#hello.bytes.set(target.hello)
    this.#address = targetAddress(target)
    const head = connectHead(target)
    this.#headBytes = head.length
    this.#head = allocate(Math.max(1, head.length))
    this.#head.bytes.set(head)
    this.#fds = new Int32Array(slots).fill(-1)
    this.#state = new Uint8Array(slots)
    this.#openings = new Uint32Array(slots)
    loop.start(this)
  }

  open(slot: number): void {
    const { family, address, addressBytes } = this.#address
    const fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    this.#fds[slot] = fd
    this.#state[slot] = slotState.connecting
    this.#openings[slot] = (this.#openings[slot] ?? 0) + 1
    if (fd === -1) this.#failLater(slot, 'socket')
    else if (this.#address.isTcp && setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1) === -1) this.#failLater(slot, 'setsockopt')
    else if (!bindTo(fd, this.#sources[slot % this.#sources.length])) this.#failLater(slot, 'bind')
    else if (connect(fd, address, addressBytes) === -1 && errno() !== EINPROGRESS) this.#failLater(slot, 'connect')
    // On the loopback interface the handshake is over by now.
    else if (!this.#greet(slot) && errno() !== EAGAIN) this.#failLater(slot, 'connect')
    else if (this.#loop.add(fd, this.#events(slot), slot) === -1) this.#failLater(slot, 'epoll_ctl')
  }

  /** What is at the beginning of the loop's `outgoing`. @returns how many bytes the system took, or -1 */
  send(slot: number, bytes: number): number {
    return send(this.#fds[slot] ?? -1, this.#loop.outgoing.address, bytes, MSG_NOSIGNAL)
  }

  /** For `bulk`. */
  watchWritable(slot: number): void {
    if (this.#state[slot] === slotState.open) this.#change(slot, writableEvents)
  }

  /** RST: leaves no TIME_WAIT behind. Nothing if it is closed. */
  reset(slot: number): void {
    const fd = this.#fds[slot] ?? -1
    this.#state[slot] = slotState.closed
    this.#fds[slot] = -1
    if (fd === -1) return
    setResetOnClose(fd)
    close(fd)
  }

  /** Resets it, and tells its owner. */
  fail(slot: number, reason: string): void {
    if (this.#state[slot] === slotState.closed) return
    this.reset(slot)
    this.#owner.broken(slot, reason)
  }

  /** Resets all, and gives the loop back. */
  close(): void {
    this.#fds.forEach((_fd, slot) => this.reset(slot))
    this.#loop.stop()
    free(this.#hello)
    free(this.#head)
    this.#address.free()
  }

  beforeWait(nowMs: number): number {
    if (this.#failed.length > 0) {
      const failed = this.#failed
      this.#failed = []
      for (const { slot, reason } of failed) this.fail(slot, reason)
    }
    return this.#owner.beforeWait(nowMs)
  }

  ready(slot: number, events: number): void {
    if (this.#state[slot] === slotState.connecting) {
      if (this.#greet(slot)) this.#change(slot, this.#events(slot))
      else if (errno() !== EAGAIN) this.fail(slot, new SystemError('connect', errno()).message)
      return
    }
    if (this.#state[slot] === slotState.asking) {
      this.#readAnswer(slot)
      return
    }
    if ((events & readableEvents) !== 0) this.#read(slot, (events & endingEvents) !== 0)
    if ((events & EPOLLOUT) !== 0 && this.#state[slot] === slotState.open) this.#owner.writable(slot)
  }

  #events(slot: number): number {
    if (this.#state[slot] === slotState.connecting) return writableEvents
    return this.#bulk ? EPOLLIN | EPOLLRDHUP : EPOLLIN | EPOLLRDHUP | EPOLLET
  }

  /** What is there already is told of again. */
  #change(slot: number, events: number): void {
    if (this.#loop.change(this.#fds[slot] ?? -1, events, slot) === -1) this.fail(slot, new SystemError('epoll_ctl', errno()).message)
  }

  /** @returns false where `errno` tells why not */
  #greet(slot: number): boolean {
    const fd = this.#fds[slot] ?? -1
    if (this.#headBytes > 0 && this.#state[slot] === slotState.connecting) {
      if (send(fd, this.#head.address, this.#headBytes, MSG_NOSIGNAL) === -1) return false
      this.#state[slot] = slotState.asking
      return true
    }
    // A fresh socket has room for more than any hello.
    if (send(fd, this.#hello.address, this.#helloBytes, MSG_NOSIGNAL) === -1) return false
    this.#state[slot] = slotState.open
    this.#owner.connected(slot)
    return true
  }

  #readAnswer(slot: number): void {
    const { address: buffer, bytes } = this.#loop.incoming
    const received = recv(this.#fds[slot] ?? -1, buffer, bytes.length, 0)
    if (received === -1 && (errno() === EAGAIN || errno() === EINTR)) return
    const fault = received === -1 ? new SystemError('recv', errno()).message : connectFault(bytes.subarray(0, received))
    if (fault !== undefined) this.fail(slot, fault)
    else if (!this.#greet(slot)) this.fail(slot, new SystemError('send', errno()).message)
  }

  #read(slot: number, ending: boolean): void {
    const opening = this.#openings[slot]
    const { address: buffer, bytes: { length } } = this.#loop.incoming
    for (;;) {
      const received = recv(this.#fds[slot] ?? -1, buffer, length, this.#bulk ? MSG_TRUNC : 0)
      if (received <= 0) {
        const error = received === 0 ? 0 : errno()
        if (error === EAGAIN || error === EINTR) return
        this.fail(slot, error === 0 ? 'the relay closed the connection' : new SystemError('recv', error).message)
        return
      }
      this.#owner.read(slot, received)
      // FIN or RST behind the bytes has no edge of its own any more.
      if (this.#bulk || (received < length && !ending)) return
      if (this.#state[slot] !== slotState.open || this.#openings[slot] !== opening) return
    }
  }

  #failLater(slot: number, what: string): void {
    this.#failed.push({ slot, reason: new SystemError(what, errno()).message })
  }
}
