// The tunnel's sockets on Linux: bare descriptors in an epoll instance of the thread's own, which node's loop watches in turn. A
// connection is one small object; node:net's takes some kilobytes, and several times as long to make.
//
//   node's loop ─ readable ─▶ epoll_wait ─▶ LinuxStreamSocket.ready …  ─▶ all heard ─▶ those that asked for a turn
//
// Every descriptor stands in `descriptors`: should the thread die, whoever shares them closes them.

import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { SocketDial, SocketListen, SocketListener, StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import * as libc from './libc.ts'
import { createStreamDescriptors, type StreamDescriptors } from './stream-descriptors.ts'
import { encodeUnixAddress, SocketAddressCell } from './socket-address.ts'
import { LinuxStreamSocket, nextReadBuffer, streamBufferBytes, type SocketThread } from './stream-socket.ts'

/** Of one wait. */
const eventsMax = 256
/** Waits in a row, while each brings as many events as it can. */
const waitsMax = 4
/** Connections taken from one listener before others have their turn. */
const acceptsPerTurn = 64
/** Descriptors are given back as connections end; until then asking again and again would only burn time. */
const acceptPauseMs = 100
/** For connections that are to be looked at (peer-watch.ts). */
const lookIntervalMs = 250

/** What has a token. */
interface Watched {
  ready(events: number): void
}

export class LinuxStreamSockets implements StreamSockets {
  readonly #descriptors: StreamDescriptors
  readonly #epoll = new libc.Epoll(eventsMax)
  readonly #cell = new SocketAddressCell()
  readonly #loop: libc.LoopWatch
  readonly #watched: (Watched | undefined)[] = [undefined]
  readonly #free: number[] = []
  /** Events of the same wait may still name them. */
  readonly #freed: number[] = []
  #open = 0
  #later: LinuxStreamSocket[] = []
  #isTurnDue = false
  readonly #thread: SocketThread
  readonly #dialling: Dialling

  /** @param descriptors zeroed */
  constructor(descriptors: StreamDescriptors = createStreamDescriptors()) {
    this.#descriptors = descriptors
    // In place of the token that there is not.
    descriptors[0] = this.#epoll.fd + 1
    this.#thread = {
      buffer: libc.allocate(streamBufferBytes),
      pieces: new libc.Pieces(),
      readBuffer: nextReadBuffer(),
      later: (socket) => {
        this.#later.push(socket)
        this.#dueTurn()
      },
      watchWritable: (fd, token, watched) => void this.#epoll.modify(fd, watched ? connectedEvents | libc.EPOLLOUT : connectedEvents, token),
      close: (socket) => {
        if (socket.counted !== undefined) socket.counted.open -= 1
        this.#close(socket.fd, socket.token)
      },
    }
    this.#dialling = {
      cell: this.#cell,
      begin: (fd, connecting) => {
        const token = this.#take()
        if (token === -1) return token
        if (this.#epoll.add(fd, connectedEvents | libc.EPOLLOUT, token) === -1) {
          this.#giveBack(token)
          return -1
        }
        this.#hold(fd, token, connecting)
        return token
      },
      connected: (fd, token, to) => {
        const socket = new LinuxStreamSocket(this.#thread, { fd, token, peer: to, counted: undefined })
        this.#watched[token] = socket
        return socket
      },
      close: (fd, token) => this.#close(fd, token),
    }
    this.#loop = libc.watchInLoop(this.#epoll.fd, this.#heard)
    this.#loop.hold(false)
    setInterval(() => this.#look(), lookIntervalMs).unref()
  }

  dial(dial: SocketDial): { abandon(): void } {
    return new Connecting(this.#dialling, dial)
  }

  async listen(listen: SocketListen): Promise<SocketListener> {
    const { at, backlog } = listen
    const token = this.#take()
    if (token === -1) throw new Error('no descriptor is left for a listener')
    const counted = { open: 0 }
    let fd = -1
    try {
      fd = 'path' in at ? boundToPath(at.path) : this.#boundTo(at)
      this.#hold(fd, token, { ready: () => this.#accept(fd, token, counted, listen) })
      libc.check(libc.listen(fd, backlog), 'listen')
      const bound = 'path' in at ? undefined : this.#boundAddress(fd)
      libc.check(this.#epoll.add(fd, libc.EPOLLIN, token), 'epoll_ctl')
      return {
        bound,
        close: () => {
          if (fd !== -1) this.#close(fd, token)
          fd = -1
        },
      }
    } catch (error) {
      if (fd === -1) this.#giveBack(token)
      else this.#close(fd, token)
      throw error
    }
  }

  #boundTo(at: SocketAddress): number {
    const length = this.#cell.encode(at)
    if (length === undefined) throw new Error(`${at.address} is no IP address`)
    const isIpv6 = length !== libc.sockaddrInBytes
    const fd = libc.check(libc.socket(isIpv6 ? libc.AF_INET6 : libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0), 'socket')
    libc.setIntOption(fd, libc.SOL_SOCKET, libc.SO_REUSEADDR, 1)
    if (isIpv6) libc.setIntOption(fd, libc.IPPROTO_IPV6, libc.IPV6_V6ONLY, 0)
    // Accepted sockets have these from the start.
    libc.setIntOption(fd, libc.IPPROTO_TCP, libc.TCP_NODELAY, 1)
    return closedUnless(fd, libc.bind(fd, this.#cell.address, length))
  }

  #boundAddress(fd: number): SocketAddress {
    this.#cell.expect()
    libc.check(libc.getsockname(fd, this.#cell.address, this.#cell.lengthAddress), 'getsockname')
    return this.#cell.decode()
  }

  #accept(fd: number, token: number, counted: { open: number }, { at, openMax = Infinity, accepted, dropped, failed }: SocketListen): void {
    for (let accepts = 0; accepts < acceptsPerTurn && this.#descriptors[token] === fd + 1; accepts++) {
      const own = this.#take()
      this.#cell.expect()
      const acceptedFd = own === -1 ? -1 : libc.accept4(fd, this.#cell.address, this.#cell.lengthAddress, libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC)
      if (acceptedFd === -1) {
        const error = own === -1 ? libc.EMFILE : libc.errno()
        if (own !== -1) this.#giveBack(own)
        if (error === libc.EAGAIN) return
        if (error !== libc.EMFILE && error !== libc.ENFILE && error !== libc.ENOBUFS && error !== libc.ENOMEM) continue
        this.#pauseAccepting(fd, token)
        failed(new libc.SystemError('accept4', error))
        return
      }
      if (counted.open >= openMax) {
        libc.close(acceptedFd)
        this.#giveBack(own)
        dropped()
        continue
      }
      const socket = new LinuxStreamSocket(this.#thread, { fd: acceptedFd, token: own, peer: 'path' in at ? undefined : this.#cell.decode(), counted })
      counted.open += 1
      this.#hold(acceptedFd, own, socket)
      const events = 'path' in at ? connectedEvents : connectedEvents | libc.EPOLLOUT
      if (this.#epoll.add(acceptedFd, events, own) !== -1) accepted(socket)
      else {
        const error = new libc.SystemError('epoll_ctl', libc.errno())
        socket.reset()
        failed(error)
      }
    }
  }

  #pauseAccepting(fd: number, token: number): void {
    this.#epoll.remove(fd)
    setTimeout(() => {
      if (this.#descriptors[token] === fd + 1) this.#epoll.add(fd, libc.EPOLLIN, token)
    }, acceptPauseMs)
  }

  readonly #heard = (): void => {
    this.#dueTurn()
    try {
      for (let waits = 0; waits < waitsMax; waits++) {
        const count = this.#epoll.wait(0)
        for (let index = 0; index < count; index++) this.#watched[this.#epoll.tokenAt(index)]?.ready(this.#epoll.eventsAt(index))
        while (this.#freed.length > 0) this.#free.push(this.#freed.pop() ?? 0)
        if (count < eventsMax) return
      }
    } catch (error) {
      // Where node hears of it.
      setImmediate(() => {
        throw error
      })
    }
  }

  /** Also after each wake: only then node runs what promises and ticks have waiting. */
  #dueTurn(): void {
    if (this.#isTurnDue) return
    this.#isTurnDue = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#isTurnDue = false
    if (this.#later.length === 0) return
    const sockets = this.#later
    this.#later = []
    for (const socket of sockets) socket.turn()
  }

  #look(): void {
    const nowMs = performance.now()
    for (const watched of this.#watched) if (watched instanceof LinuxStreamSocket && watched.lookAtMs <= nowMs) watched.look(nowMs)
  }

  /** @returns a token, or -1 */
  #take(): number {
    const token = this.#free.pop()
    if (token !== undefined) return token
    if (this.#watched.length >= this.#descriptors.length) return -1
    return this.#watched.push(undefined) - 1
  }

  /** One that named nothing. */
  #giveBack(token: number): void {
    this.#free.push(token)
  }

  #hold(fd: number, token: number, watched: Watched): void {
    this.#descriptors[token] = fd + 1
    this.#watched[token] = watched
    this.#open += 1
    if (this.#open === 1) this.#loop.hold(true)
  }

  #close(fd: number, token: number): void {
    libc.close(fd)
    this.#descriptors[token] = 0
    this.#watched[token] = undefined
    this.#freed.push(token)
    this.#open -= 1
    if (this.#open === 0) this.#loop.hold(false)
  }
}

/** What a connection that is being made has of its thread. */
interface Dialling {
  readonly cell: SocketAddressCell
  /** @returns its token; -1: there is none, and the descriptor is not taken over */
  begin(fd: number, connecting: Watched): number
  connected(fd: number, token: number, to: SocketAddress): LinuxStreamSocket
  close(fd: number, token: number): void
}

class Connecting implements Watched {
  readonly #thread: Dialling
  readonly #dial: SocketDial
  #fd = -1
  #token = -1
  #isOver = false

  constructor(thread: Dialling, dial: SocketDial) {
    this.#thread = thread
    this.#dial = dial
    const error = this.#begin()
    // Whoever dials is not called from within.
    if (error !== 0) setImmediate(() => this.#fail(error))
  }

  abandon(): void {
    this.#isOver = true
    this.#leave()
  }

  ready(events: number): void {
    const [fd, token] = [this.#fd, this.#token]
    const error = libc.getIntOption(fd, libc.SOL_SOCKET, libc.SO_ERROR)
    if (error !== 0) {
      this.#fail(error)
      return
    }
    this.#fd = -1
    const { to, connected } = this.#dial
    const socket = this.#thread.connected(fd, token, to)
    connected(socket)
    // An edge is told of once: it may have spoken already.
    socket.ready(events)
  }

  /** @returns an errno, or 0 */
  #begin(): number {
    const { cell } = this.#thread
    const length = cell.encode(this.#dial.to)
    if (length === undefined) return libc.EINVAL
    const fd = libc.socket(length === libc.sockaddrInBytes ? libc.AF_INET : libc.AF_INET6, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0)
    if (fd === -1) return libc.errno()
    libc.setIntOption(fd, libc.IPPROTO_TCP, libc.TCP_NODELAY, 1)
    const error = libc.connect(fd, cell.address, length) === -1 ? libc.errno() : 0
    const token = error === 0 || error === libc.EINPROGRESS ? this.#thread.begin(fd, this) : -1
    if (token === -1) {
      libc.close(fd)
      return error === 0 || error === libc.EINPROGRESS ? libc.EMFILE : error
    }
    this.#fd = fd
    this.#token = token
    return 0
  }

  #fail(error: number): void {
    if (this.#isOver) return
    this.#leave()
    this.#dial.failed(libc.errnoName(error))
  }

  #leave(): void {
    if (this.#fd !== -1) this.#thread.close(this.#fd, this.#token)
    this.#fd = -1
  }
}

const connectedEvents = libc.EPOLLIN | libc.EPOLLRDHUP | libc.EPOLLET

function boundToPath(path: string): number {
  const unix = encodeUnixAddress(path)
  if (unix === undefined) throw new Error(`${path} is too long a path for a socket`)
  const fd = libc.check(libc.socket(libc.AF_UNIX, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0), 'socket')
  return closedUnless(fd, libc.bind(fd, unix.address, unix.byteLength))
}

/** @throws {SystemError} where it could not be bound */
function closedUnless(fd: number, bound: number): number {
  if (bound !== -1) return fd
  const error = new libc.SystemError('bind', libc.errno())
  libc.close(fd)
  throw error
}
