// The attack: connections at a rate, due at fixed times, from many addresses, all for one tenant as far as they tell. And
// newcomers of another tenant, from an address of their own, whose echoes are timed.
//
//   of four attackers    two say a real hello, one says what is no TLS, one says its hello a byte a second
//   an attacker ends     when it has an answer or is ended, or after `stayMs`, or `connectMs` without a connection; then another one may have its slot

import { allocate, EAGAIN, EINTR, EPOLLIN, EPOLLOUT, EPOLLRDHUP, errno, MSG_NOSIGNAL, type NativeMemory, recv, send } from '../../src/relay/linux/libc.ts'
import type { RecordableHistogram } from 'node:perf_hooks'
import { TimerWheel } from '../../src/core/timer-wheel.ts'
import { type EventHandler, type EventLoop } from '../load/event-loop.ts'
import { createLatencyHistogram } from '../load/tally.ts'
import { openSocket, resetSocket } from '../load/raw-socket.ts'

/** That an attacker has its slot. */
const stayMs = 3_000
/** That it waits for its connection: a SYN that is thrown away holds no attacker up, and is not sent again. */
const connectMs = 900
const byteEveryMs = 1_000
/** Newcomers give up after so long, and that is a failure. */
const newcomerTimeoutMs = 3_000
const garbageBytes = 512
/** Connects in a row, before events have their turn. */
const connectsPerTurn = 64

const kind = { none: 0, hello: 1, garbage: 2, slow: 3, newcomer: 4 } as const
const kindsInTurn = [kind.hello, kind.garbage, kind.hello, kind.slow] as const

export interface AttackSpec {
  readonly port: number
  readonly connectionsPerSecond: number
  /** Addresses that attackers come from: `network`.1 and those behind it. */
  readonly sources: number
  /** Its first three bytes: `127.1.0`. */
  readonly network: string
  /** Of the tenant that is attacked. */
  readonly hello: Uint8Array
  readonly newcomersPerSecond: number
  /** Of another tenant. */
  readonly newcomersHello: Uint8Array
}

export interface AttackTally {
  readonly begun: number
  /** Attackers that were answered by the tenant's server. */
  readonly answered: number
  readonly newcomers: RecordableHistogram
  readonly newcomersFailed: number
}

export class Attack implements EventHandler {
  readonly #loop: EventLoop
  readonly #spec: AttackSpec
  readonly #hello: NativeMemory
  readonly #garbage = allocate(garbageBytes)
  readonly #newcomersHello: NativeMemory
  readonly #startMs = performance.now()
  readonly #wheel: TimerWheel
  readonly #newcomers = createLatencyHistogram()
  #begun = 0
  #answered = 0
  #newcomersBegun = 0
  #newcomersFailed = 0
  // By slot.
  readonly #free: number[]
  readonly #fd: Int32Array
  readonly #kind: Uint8Array
  readonly #beganMs: Float64Array
  /** Bytes of its hello that it has sent. */
  readonly #sent: Uint32Array

  /** Takes the loop, until `close`; the attack begins. */
  constructor(loop: EventLoop, spec: AttackSpec) {
    this.#loop = loop
    this.#spec = spec
    this.#hello = memoryOf(spec.hello)
    this.#newcomersHello = memoryOf(spec.newcomersHello)
    this.#garbage.bytes.fill(0x47)
    const slots = Math.ceil((spec.connectionsPerSecond + spec.newcomersPerSecond) * stayMs / 1000)
    this.#free = Array.from({ length: slots }, (_, slot) => slot)
    this.#fd = new Int32Array(slots).fill(-1)
    this.#kind = new Uint8Array(slots)
    this.#beganMs = new Float64Array(slots)
    this.#sent = new Uint32Array(slots)
    this.#wheel = new TimerWheel({ capacity: slots, nowMs: this.#startMs })
    loop.start(this)
  }

  /** Resets all, and gives the loop back. */
  close(): AttackTally {
    this.#loop.stop()
    for (const fd of this.#fd) if (fd !== -1) resetSocket(fd)
    return { begun: this.#begun, answered: this.#answered, newcomers: this.#newcomers, newcomersFailed: this.#newcomersFailed }
  }

  beforeWait(nowMs: number): number {
    const seconds = (nowMs - this.#startMs) / 1000
    const due = seconds * this.#spec.connectionsPerSecond
    for (let connects = 0; connects < connectsPerTurn && this.#begun < due; connects += 1, this.#begun += 1) {
      this.#open(kindsInTurn[this.#begun % kindsInTurn.length] ?? kind.hello, `${this.#spec.network}.${1 + this.#begun % this.#spec.sources}`)
    }
    if (this.#newcomersBegun < seconds * this.#spec.newcomersPerSecond) {
      this.#newcomersBegun += 1
      this.#open(kind.newcomer)
    }
    for (let slot = this.#wheel.takeDue(nowMs); slot !== -1; slot = this.#wheel.takeDue(nowMs)) this.#dueAt(slot, nowMs)
    return this.#begun < due ? 0 : 1
  }

  ready(slot: number, events: number): void {
    if (this.#kind[slot] === kind.none) return
    if ((events & EPOLLOUT) !== 0 && this.#sent[slot] === 0 && !this.#greet(slot)) return
    if ((events & ~EPOLLOUT) === 0) return
    const { address, bytes } = this.#loop.incoming
    const received = recv(this.#fd[slot] ?? -1, address, bytes.length, 0)
    if (received === -1 && (errno() === EAGAIN || errno() === EINTR)) return
    const isAnswered = received > 0 && bytes[0] === this.#hello.bytes[0]
    if (this.#kind[slot] === kind.newcomer) {
      // The first bytes of an echo are an answer.
      if (isAnswered) this.#newcomers.record(Math.max(1, Math.round((performance.now() - (this.#beganMs[slot] ?? 0)) * 1e6)))
      else this.#newcomersFailed += 1
    } else if (isAnswered) {
      this.#answered += 1
    }
    this.#end(slot)
  }

  #open(of: number, source?: string): void {
    const slot = this.#free.pop()
    if (slot === undefined) return
    const fd = openSocket(this.#spec.port, source)
    this.#fd[slot] = fd
    this.#kind[slot] = of
    this.#sent[slot] = 0
    const nowMs = performance.now()
    this.#beganMs[slot] = nowMs
    this.#wheel.set(slot, nowMs + (of === kind.newcomer ? newcomerTimeoutMs : connectMs))
    if (fd === -1 || this.#loop.add(fd, EPOLLIN | EPOLLRDHUP | EPOLLOUT, slot) === -1) this.#fail(slot)
    else this.#greet(slot)
  }

  /** @returns whether it still is there */
  #greet(slot: number): boolean {
    const of = this.#kind[slot] ?? kind.none
    const { address, bytes: { length } } = of === kind.garbage ? this.#garbage : of === kind.newcomer ? this.#newcomersHello : this.#hello
    const sent = send(this.#fd[slot] ?? -1, address, of === kind.slow ? 1 : length, MSG_NOSIGNAL)
    if (sent === -1) {
      if (errno() === EAGAIN) return true
      this.#fail(slot)
      return false
    }
    this.#sent[slot] = sent
    if (of !== kind.newcomer) this.#wheel.set(slot, performance.now() + (of === kind.slow ? byteEveryMs : stayMs))
    this.#loop.change(this.#fd[slot] ?? -1, EPOLLIN | EPOLLRDHUP, slot)
    return true
  }

  #dueAt(slot: number, nowMs: number): void {
    if (this.#kind[slot] !== kind.slow || this.#sent[slot] === 0 || nowMs - (this.#beganMs[slot] ?? 0) >= stayMs) {
      this.#fail(slot)
      return
    }
    const sent = this.#sent[slot] ?? 0
    if (send(this.#fd[slot] ?? -1, this.#hello.address + sent, 1, MSG_NOSIGNAL) === 1) this.#sent[slot] = sent + 1
    this.#wheel.set(slot, nowMs + byteEveryMs)
  }

  #fail(slot: number): void {
    if (this.#kind[slot] === kind.newcomer) this.#newcomersFailed += 1
    this.#end(slot)
  }

  #end(slot: number): void {
    const fd = this.#fd[slot] ?? -1
    if (fd !== -1) resetSocket(fd)
    this.#fd[slot] = -1
    this.#kind[slot] = kind.none
    this.#wheel.clear(slot)
    this.#free.push(slot)
  }
}

function memoryOf(bytes: Uint8Array): NativeMemory {
  const memory = allocate(bytes.length)
  memory.bytes.set(bytes)
  return memory
}
