// Connections to an echo server, for the loads that keep theirs: each has had its hello echoed, and carries one request
// at a time. A connection is a slot, a number from 0; its columns are typed arrays.
//
//   connecting ─connected, hello echoed─▶ free ─request()─▶ busy ─answer─▶ free      any ─failure─▶ gone

import { errno, SystemError } from '../../src/relay/linux/libc.ts'
import { type ClientOwner, Clients } from './clients.ts'
import { EchoCheck } from './echo-check.ts'
import type { EventLoop } from './event-loop.ts'
import type { LoadTarget } from './load.ts'
import type { Tally } from './tally.ts'

/** Connections that are being opened at the same time: fewer than any backlog. */
const openingMax = 64
const openTimeoutMs = 20_000
const answerTimeoutMs = 3_000

export interface EchoPoolOptions {
  readonly loop: EventLoop
  readonly target: LoadTarget
  readonly tally: Tally
  readonly connections: number
  /** Whole words of 4 bytes: a request begins with its number. */
  readonly payloadBytes: number
  /** The whole answer to the slot's request is there, and right. */
  readonly onAnswer: (slot: number, atMs: number) => void
  /** @returns how long to wait for events, in whole milliseconds */
  readonly beforeWait: (nowMs: number) => number
}

export const echoState = { gone: 0, connecting: 1, free: 2, busy: 3 } as const

export class EchoPool implements ClientOwner {
  // By slot.
  /** One of `echoState`. */
  readonly state: Uint8Array
  /** When the request under way was written. */
  readonly sentAtMs: Float64Array
  readonly beforeWait: (nowMs: number) => number
  readonly #connections: number
  readonly #clients: Clients
  readonly #check: EchoCheck
  readonly #tally: Tally
  readonly #helloBytes: number
  readonly #onAnswer: (slot: number, atMs: number) => void
  #begun = 0
  #connecting = 0
  #busy = 0
  #wake: () => void = () => undefined

  constructor({ loop, target, tally, connections, payloadBytes, onAnswer, beforeWait }: EchoPoolOptions) {
    this.state = new Uint8Array(connections)
    this.sentAtMs = new Float64Array(connections)
    this.beforeWait = beforeWait
    this.#connections = connections
    this.#tally = tally
    this.#helloBytes = target.hello.length
    this.#onAnswer = onAnswer
    this.#check = new EchoCheck({ loop, hello: target.hello, payloadBytes, slots: connections })
    this.#clients = new Clients({ loop, target, slots: connections, traffic: 'requests', owner: this })
  }

  /** Resolves when each of them is free or gone. */
  async open(): Promise<void> {
    await this.#until(openTimeoutMs, 'connections opened', () => {
      while (this.#begun < this.#connections && this.#connecting < openingMax) {
        this.state[this.#begun] = echoState.connecting
        this.#connecting += 1
        this.#begun += 1
        this.#check.expectHello(this.#begun - 1)
        this.#clients.open(this.#begun - 1)
      }
      return this.#connecting
    })
    for (; this.#begun < this.#connections; this.#begun += 1) this.#tally.failed('was not begun: those before it took too long')
  }

  /** On a connection that is free. */
  request(slot: number, atMs: number): void {
    const { payloadBytes } = this.#check
    this.#check.nextRequest(slot)
    this.state[slot] = echoState.busy
    this.#busy += 1
    this.sentAtMs[slot] = atMs
    const sent = this.#clients.send(slot, payloadBytes)
    if (sent === payloadBytes) {
      this.#tally.sentBytes += sent
      return
    }
    // A socket whose last request has been answered takes a small one whole.
    this.#clients.fail(slot, sent === -1 ? new SystemError('send', errno()).message : `the system took ${sent} bytes of a request`)
  }

  /** Resolves when no request is under way. The load must have stopped making new ones. */
  async settle(): Promise<void> {
    await this.#until(answerTimeoutMs, 'answers came', () => this.#busy)
  }

  close(): void {
    this.#clients.close()
  }

  connected(): void {
    this.#tally.opened += 1
    this.#tally.sentBytes += this.#helloBytes
  }

  read(slot: number, byteLength: number): void {
    this.#tally.receivedBytes += byteLength
    // What nobody has asked for differs as well.
    const progress = this.state[slot] === echoState.free ? 'wrong' : this.#check.take(slot, byteLength)
    switch (progress) {
      case 'partial':
        return
      case 'complete':
        this.#complete(slot)
        return
      case 'wrong':
        this.#clients.fail(slot, 'the echo differs from what was sent')
        return
      default:
        progress satisfies never
    }
  }

  writable(): void {
    // Requests are sent when the answer before them is there, not when there is room.
  }

  broken(slot: number, reason: string): void {
    if (this.state[slot] === echoState.connecting) this.#connecting -= 1
    if (this.state[slot] === echoState.busy) this.#busy -= 1
    this.state[slot] = echoState.gone
    this.#tally.failed(reason)
    this.#wake()
  }

  #complete(slot: number): void {
    const before = this.state[slot]
    this.state[slot] = echoState.free
    if (before === echoState.busy) {
      this.#busy -= 1
      this.#onAnswer(slot, performance.now())
    } else {
      this.#connecting -= 1
    }
    this.#wake()
  }

  /** Asks `remaining` after each event until it is 0. What still remains at the timeout is a failure each, and goes. */
  async #until(timeoutMs: number, what: string, remaining: () => number): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#wake = () => undefined
        resolve()
      }
      const timer = setTimeout(() => {
        this.#wake = () => undefined
        this.state.forEach((state, slot) => {
          if (state !== echoState.connecting && state !== echoState.busy) return
          this.#clients.fail(slot, `not all ${what} within ${timeoutMs / 1000} s`)
        })
        end()
      }, timeoutMs)
      this.#wake = () => {
        if (remaining() === 0) end()
      }
      this.#wake()
    })
  }
}
