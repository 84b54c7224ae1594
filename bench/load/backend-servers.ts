// A backend process's servers, by the relay's own FFI (see event-loop.ts):
//
//   echo     returns what it is sent
//   source   after the first bytes (the hello) sends without end
//   sink     reads without end
//
// and one that becomes any of these by the first byte that it reads (greeting.ts).
//
// Tokens are descriptors. Echo connections are watched edge-triggered: a short read has emptied the socket, so a request
// costs one recv and one send. The others and the listeners are level-triggered, and take turns by that. What source and
// sink read is not looked at: recv with MSG_TRUNC discards it (tcp(7)).

import {
  accept4, AF_INET, bind, check, close, EAGAIN, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN,
  EPOLLOUT, EPOLLRDHUP, errno, getsockname, IPPROTO_TCP, listen, MSG_NOSIGNAL, recv, send, setIntOption, setResetOnClose, SO_REUSEADDR,
  SO_REUSEPORT, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, sockaddrInBytes, socket, SOL_SOCKET, SystemError, TCP_NODELAY,
} from '../../src/relay/linux/libc.ts'
import type { SocketAddress } from '../../src/core/net/socket-address.ts'
import { SocketAddressCell } from '../../src/relay/linux/socket-address.ts'
import type { BackendCounters, BackendPorts, BackendRole } from './backend-protocol.ts'
import { type EventHandler, type EventLoop, MSG_TRUNC, waitMsMax } from './event-loop.ts'
import { greetings } from './greeting.ts'

const listenBacklog = 4096
const chunkFill = 0x53
/** Of one connection, before the others have their turn. */
const chunksPerTurn = 8
const readableEvents = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR
const endingEvents = EPOLLRDHUP | EPOLLHUP | EPOLLERR
const outOfResources: ReadonlySet<number> = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM])

/** What a descriptor is; a listener's is `listener` more than that of its connections. */
const kind = { none: 0, echo: 1, source: 2, sink: 3, byGreeting: 4, listener: 5 } as const
const roles: ReadonlyMap<number, BackendRole> = new Map(Object.entries(greetings).map(([server, byte]) => [byte, server === 'boundedSource' ? 'source' : server as BackendRole]))
/** <sys/socket.h> */
const MSG_PEEK = 2
const SO_SNDBUF = 7
/** In the socket of a `boundedSource`. */
const boundedSendBytes = 64 * 1024

export class BackendServers implements EventHandler {
  readonly counters: { -readonly [K in Exclude<keyof BackendCounters, 'atMs' | 'cpuMs'>]: number } = { connections: 0, open: 0, receivedBytes: 0, sentBytes: 0 }
  readonly #loop: EventLoop
  /** By descriptor. */
  #kinds = new Uint8Array(1024)

  /** Takes the loop. */
  constructor(loop: EventLoop) {
    this.#loop = loop
    loop.outgoing.bytes.fill(chunkFill)
    loop.start(this)
  }

  /**
   * Several backend processes can share a port.
   * @returns the port, chosen by the system where it is 0
   * @throws {SystemError}
   */
  listen(role: keyof BackendPorts, { address, port }: SocketAddress): number {
    const fd = check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket')
    const cell = new SocketAddressCell()
    check(setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1), 'setsockopt')
    check(setIntOption(fd, SOL_SOCKET, SO_REUSEPORT, 1), 'setsockopt')
    // Accepted sockets have it from the start.
    check(setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1), 'setsockopt')
    cell.encode({ address, port })
    check(bind(fd, cell.address, sockaddrInBytes), 'bind')
    check(listen(fd, listenBacklog), 'listen')
    cell.expect()
    check(getsockname(fd, cell.address, cell.lengthAddress), 'getsockname')
    this.#watch(fd, kind.listener + kind[role], EPOLLIN)
    return cell.decode().port
  }

  beforeWait(): number {
    return waitMsMax
  }

  ready(fd: number, events: number): void {
    const of = this.#kinds[fd] === kind.byGreeting ? this.#chosen(fd) : this.#kinds[fd] ?? kind.none
    if (of > kind.listener) {
      this.#accept(fd, of - kind.listener)
    } else if (of === kind.echo) {
      this.#echo(fd, (events & endingEvents) !== 0)
    } else if (of !== kind.none) {
      if ((events & readableEvents) !== 0 && !this.#discard(fd)) return
      if (of === kind.source) this.#pour(fd, events)
    }
  }

  #accept(listener: number, of: number): void {
    for (;;) {
      const fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC)
      if (fd === -1) {
        if (errno() === EAGAIN) return
        if (outOfResources.has(errno())) throw new SystemError('accept4', errno())
        // Of the connection that was to be accepted: on to the next one.
        continue
      }
      this.counters.connections += 1
      this.counters.open += 1
      this.#watch(fd, of, of === kind.echo ? EPOLLIN | EPOLLRDHUP | EPOLLET : EPOLLIN | EPOLLRDHUP)
    }
  }

  /** @returns what it is from now on; none while nothing has come, or when it has gone */
  #chosen(fd: number): number {
    const { address, bytes } = this.#loop.incoming
    const received = recv(fd, address, 1, MSG_PEEK)
    if (received <= 0) {
      this.#readNothing(fd, received)
      return kind.none
    }
    const role = roles.get(bytes[0] ?? 0)
    if (role === undefined) {
      setResetOnClose(fd)
      this.#close(fd)
      return kind.none
    }
    if (bytes[0] === greetings.boundedSource) check(setIntOption(fd, SOL_SOCKET, SO_SNDBUF, boundedSendBytes), 'setsockopt')
    this.#kinds[fd] = kind[role]
    if (role === 'echo') check(this.#loop.change(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, fd), 'epoll_ctl')
    return kind[role]
  }

  #echo(fd: number, ending: boolean): void {
    const { address, bytes: { length } } = this.#loop.incoming
    for (;;) {
      const received = recv(fd, address, length, 0)
      if (received <= 0) {
        this.#readNothing(fd, received)
        return
      }
      this.counters.receivedBytes += received
      const sent = send(fd, address, received, MSG_NOSIGNAL)
      if (sent > 0) this.counters.sentBytes += sent
      if (sent !== received) {
        // A client has one small request under way. One that does not keep to that is shown the door, and counts a failure.
        setResetOnClose(fd)
        this.#close(fd)
        return
      }
      // FIN or RST behind the bytes has no edge of its own any more.
      if (received < length && !ending) return
    }
  }

  /** @returns whether it is still open */
  #discard(fd: number): boolean {
    const { address, bytes: { length } } = this.#loop.incoming
    const received = recv(fd, address, length, MSG_TRUNC)
    if (received <= 0) return this.#readNothing(fd, received)
    this.counters.receivedBytes += received
    return true
  }

  #pour(fd: number, events: number): void {
    if ((events & EPOLLOUT) === 0) {
      // The hello has come; from now on it is told when there is room.
      check(this.#loop.change(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, fd), 'epoll_ctl')
      return
    }
    const { address, bytes: { length } } = this.#loop.outgoing
    for (let chunks = 0; chunks < chunksPerTurn; chunks += 1) {
      const sent = send(fd, address, length, MSG_NOSIGNAL)
      if (sent > 0) this.counters.sentBytes += sent
      if (sent === length) continue
      if (sent === -1 && errno() !== EAGAIN && errno() !== EINTR) this.#close(fd)
      return
    }
  }

  /** @returns whether it is still open */
  #readNothing(fd: number, received: number): boolean {
    if (received === -1 && (errno() === EAGAIN || errno() === EINTR)) return true
    this.#close(fd)
    return false
  }

  #close(fd: number): void {
    this.#kinds[fd] = kind.none
    this.counters.open -= 1
    close(fd)
  }

  #watch(fd: number, of: number, events: number): void {
    if (fd >= this.#kinds.length) {
      const kinds = new Uint8Array(2 * fd)
      kinds.set(this.#kinds)
      this.#kinds = kinds
    }
    this.#kinds[fd] = of
    check(this.#loop.add(fd, events, fd), 'epoll_ctl')
  }
}
