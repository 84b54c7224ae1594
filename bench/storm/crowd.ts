// The storm: all clients connect within a second, each says a real hello, waits for its echo, and stays. Who is refused, reset or kept
// waiting for too long comes again as client-go does (client-go.ts).
//
//   away ─due─▶ connecting ─hello sent─▶ greeted ─whole echo─▶ in        any ─alert, RST, FIN, timeout─▶ away
//
// A client is a slot, a number from 0. Those of a tenant follow one another.

import {
  allocate, EAGAIN, ECONNREFUSED, EINTR, EPOLLIN, EPOLLOUT, EPOLLRDHUP, errno, MSG_NOSIGNAL, type NativeMemory, recv, send,
} from '../../src/relay/linux/libc.ts'
import { TimerWheel } from '../../src/core/timer-wheel.ts'
import { type EventHandler, type EventLoop, waitMsMax } from '../load/event-loop.ts'
import { type Failure, handshakeTimeoutMs, nextTry, noTries, type Tries } from './client-go.ts'
import { openSocket, resetSocket } from '../load/raw-socket.ts'

/** Connects in a row, before events have their turn. */
const connectsPerTurn = 16
/** In which all clients connect for the first time. All in one moment would be more packets than loopback holds (net.core.netdev_max_backlog). */
const beginMs = 1_000
const alertRecord = 0x15
const state = { away: 0, connecting: 1, greeted: 2, in: 3 } as const
const events = EPOLLIN | EPOLLOUT | EPOLLRDHUP

export interface CrowdTenant {
  readonly hello: Uint8Array
  readonly clients: number
}

export interface CrowdSpec {
  readonly port: number
  readonly tenants: readonly CrowdTenant[]
}

export interface CrowdTally {
  /** By client, in the order of the tenants: from the beginning of the storm until it was in; Infinity: it never was. */
  readonly inAfterMs: Float64Array
  readonly failures: Readonly<Record<Failure, number>>
  /** That ended although they were in, and echoes that differed. */
  readonly wrong: number
}

export class Crowd implements EventHandler {
  readonly #loop: EventLoop
  readonly #port: number
  readonly #hellos: readonly NativeMemory[]
  readonly #wheel: TimerWheel
  readonly #startMs = performance.now()
  readonly #failures: Record<Failure, number> = { reset: 0, closed: 0, alert: 0, timeout: 0, refused: 0 }
  #wrong = 0
  #in = 0
  #begun = 0
  #whenAllIn: () => void = () => undefined
  // By client.
  readonly #tenant: Uint16Array
  readonly #fd: Int32Array
  readonly #state: Uint8Array
  /** Bytes of the echo that have come. */
  readonly #echoed: Uint32Array
  readonly #tries: Tries[]
  readonly #inAfterMs: Float64Array

  /** Takes the loop, until `close`; the storm begins. */
  constructor(loop: EventLoop, { port, tenants }: CrowdSpec) {
    this.#loop = loop
    this.#port = port
    this.#hellos = tenants.map(({ hello }) => {
      const memory = allocate(hello.length)
      memory.bytes.set(hello)
      return memory
    })
    this.#tenant = Uint16Array.from(tenants.flatMap(({ clients }, index) => Array.from({ length: clients }, () => index)))
    const { length } = this.#tenant
    this.#wheel = new TimerWheel({ capacity: length, nowMs: this.#startMs })
    this.#fd = new Int32Array(length).fill(-1)
    this.#state = new Uint8Array(length)
    this.#echoed = new Uint32Array(length)
    this.#tries = Array.from({ length }, () => noTries)
    this.#inAfterMs = new Float64Array(length).fill(Infinity)
    loop.start(this)
  }

  /** Resolves when all clients are in. */
  async allIn(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#whenAllIn = resolve
      if (this.#in === this.#fd.length) resolve()
    })
  }

  /** Resets all, and gives the loop back. */
  close(): CrowdTally {
    this.#loop.stop()
    for (const fd of this.#fd) if (fd !== -1) resetSocket(fd)
    return { inAfterMs: this.#inAfterMs, failures: this.#failures, wrong: this.#wrong }
  }

  beforeWait(nowMs: number): number {
    const due = Math.min(1, (nowMs - this.#startMs) / beginMs) * this.#fd.length
    // In an order in which tenants take turns: 7,919 is a prime.
    for (let connects = 0; connects < connectsPerTurn && this.#begun < due; connects += 1, this.#begun += 1) this.#open(this.#begun * 7_919 % this.#fd.length)
    for (let client = this.#wheel.takeDue(nowMs); client !== -1; client = this.#wheel.takeDue(nowMs)) {
      if (this.#state[client] === state.away) this.#open(client)
      else this.#failed(client, 'timeout')
    }
    return this.#begun < due ? 0 : this.#begun < this.#fd.length ? 1 : waitMsMax
  }

  ready(client: number): void {
    if (this.#state[client] === state.connecting) this.#greet(client)
    if (this.#state[client] === state.greeted || this.#state[client] === state.in) this.#read(client)
  }

  #open(client: number): void {
    const fd = openSocket(this.#port)
    this.#state[client] = state.connecting
    this.#fd[client] = fd
    this.#echoed[client] = 0
    if (fd === -1 || this.#loop.add(fd, events, client) === -1) {
      this.#failed(client, 'refused')
      return
    }
    // On the loopback interface the handshake is over by now, unless the backlog is full.
    this.#greet(client)
  }

  #greet(client: number): void {
    const { address, bytes: { length } } = this.#helloOf(client)
    if (send(this.#fd[client] ?? -1, address, length, MSG_NOSIGNAL) === -1) {
      if (errno() !== EAGAIN) this.#failed(client, errno() === ECONNREFUSED ? 'refused' : 'reset')
      return
    }
    this.#state[client] = state.greeted
    this.#loop.change(this.#fd[client] ?? -1, EPOLLIN | EPOLLRDHUP, client)
    this.#wheel.set(client, performance.now() + handshakeTimeoutMs)
  }

  #read(client: number): void {
    const { address, bytes } = this.#loop.incoming
    const received = recv(this.#fd[client] ?? -1, address, bytes.length, 0)
    if (received === -1 && (errno() === EAGAIN || errno() === EINTR)) return
    if (received <= 0 || this.#state[client] === state.in) {
      this.#lost(client, received === 0 ? 'closed' : 'reset')
      return
    }
    const from = this.#echoed[client] ?? 0
    const hello = this.#helloOf(client).bytes
    if (from === 0 && bytes[0] === alertRecord) this.#failed(client, 'alert')
    else if (Buffer.compare(bytes.subarray(0, received), hello.subarray(from, from + received)) !== 0) this.#lost(client, 'closed')
    else {
      this.#echoed[client] = from + received
      if (from + received === hello.length) this.#enter(client)
    }
  }

  #enter(client: number): void {
    this.#state[client] = state.in
    this.#wheel.clear(client)
    this.#inAfterMs[client] = performance.now() - this.#startMs
    this.#in += 1
    if (this.#in === this.#fd.length) this.#whenAllIn()
  }

  /** Nothing that a relay may do to one that is in, or has had part of an answer. */
  #lost(client: number, failure: Failure): void {
    if (this.#state[client] === state.in || (this.#echoed[client] ?? 0) > 0) this.#wrong += 1
    if (this.#state[client] === state.in) this.#in -= 1
    this.#failed(client, failure)
  }

  #failed(client: number, failure: Failure): void {
    const fd = this.#fd[client] ?? -1
    if (fd !== -1) resetSocket(fd)
    this.#failures[failure] += 1
    this.#fd[client] = -1
    this.#state[client] = state.away
    this.#inAfterMs[client] = Infinity
    const { tries, afterMs } = nextTry(this.#tries[client] ?? noTries, failure, Math.random())
    this.#tries[client] = tries
    this.#wheel.set(client, performance.now() + afterMs)
  }

  #helloOf(client: number): NativeMemory {
    const hello = this.#hellos[this.#tenant[client] ?? 0]
    if (hello === undefined) throw new Error(`bug: client ${client} has no tenant`)
    return hello
  }
}
