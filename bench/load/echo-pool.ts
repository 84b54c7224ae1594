// Connections to an echo server, for the loads that keep theirs: each has had its hello echoed, and carries one request
// at a time.
//
//   connecting ─connected, hello echoed─▶ free ─request()─▶ busy ─answer─▶ free      any ─failure─▶ out of the pool

import { EchoCheck } from './echo-check.ts'
import { type ClientOwner, HelloClient } from './hello-client.ts'
import type { LoadTarget } from './load.ts'
import type { Tally } from './tally.ts'

/** Connections that are being opened at the same time: fewer than any backlog. */
const openingMax = 64
const openTimeoutMs = 20_000
const answerTimeoutMs = 3_000

export interface EchoPoolOptions {
  readonly target: LoadTarget
  readonly tally: Tally
  /** At least 4: a request begins with its number. */
  readonly payloadBytes: number
  /** The whole answer to `connection`'s request is there, and right. */
  readonly onAnswer: (connection: EchoConnection, atMs: number) => void
}

export class EchoConnection implements ClientOwner {
  state: 'connecting' | 'free' | 'busy' = 'connecting'
  /** When the request under way was written. */
  sentAtMs = 0
  /** Paced loads: the number of the request that is this connection's next one. */
  nextRequest = 0
  /** Paced loads: when the request under way was due. */
  dueAtMs = 0
  readonly #pool: EchoPool
  readonly #client: HelloClient
  readonly #check: EchoCheck
  readonly #request: Buffer

  constructor(pool: EchoPool, target: LoadTarget, payloadBytes: number) {
    this.#pool = pool
    this.#check = new EchoCheck(target.hello)
    this.#request = Buffer.alloc(payloadBytes, 0x52)
    this.#client = new HelloClient(target, this)
  }

  request(atMs: number): void {
    this.state = 'busy'
    this.sentAtMs = atMs
    // The one before has come back whole, so the system holds no part of this buffer any more.
    this.#request.writeUInt32LE((this.#request.readUInt32LE(0) + 1) >>> 0, 0)
    this.#check.restart(this.#request)
    this.#pool.tally.sentBytes += this.#request.length
    this.#client.socket.write(this.#request)
  }

  reset(): void {
    this.#client.reset()
  }

  connected(): void {
    this.#pool.tally.opened += 1
    this.#pool.tally.sentBytes += this.#pool.target.hello.length
  }

  read(_client: HelloClient, byteLength: number, bytes: Buffer): void {
    this.#pool.tally.receivedBytes += byteLength
    switch (this.#check.take(byteLength, bytes)) {
      case 'partial':
        return
      case 'complete':
        this.#pool.complete(this)
        return
      case 'wrong':
      default:
        this.reset()
        this.#pool.lost(this, 'the echo differs from what was sent')
    }
  }

  broken(_client: HelloClient, reason: string): void {
    this.#pool.lost(this, reason)
  }
}

export class EchoPool {
  readonly target: LoadTarget
  readonly tally: Tally
  readonly connections = new Set<EchoConnection>()
  readonly #payloadBytes: number
  readonly #onAnswer: (connection: EchoConnection, atMs: number) => void
  #connecting = 0
  #wake: () => void = () => undefined

  constructor({ target, tally, payloadBytes, onAnswer }: EchoPoolOptions) {
    this.target = target
    this.tally = tally
    this.#payloadBytes = payloadBytes
    this.#onAnswer = onAnswer
  }

  /** Resolves when each of them is free or has failed. */
  async open(count: number): Promise<void> {
    let missing = count
    await this.#until(openTimeoutMs, 'connections opened', () => {
      while (missing > 0 && this.#connecting < openingMax) {
        missing -= 1
        this.#connecting += 1
        this.connections.add(new EchoConnection(this, this.target, this.#payloadBytes))
      }
      return this.#connecting
    })
    for (; missing > 0; missing -= 1) this.tally.failed('was not begun: those before it took too long')
  }

  /** Resolves when no request is under way. The load must have stopped making new ones. */
  async settle(): Promise<void> {
    await this.#until(answerTimeoutMs, 'answers came', () => {
      let busy = 0
      for (const { state } of this.connections) if (state === 'busy') busy += 1
      return busy
    })
  }

  resetAll(): void {
    for (const connection of this.connections) connection.reset()
    this.connections.clear()
  }

  /** For EchoConnection: what it waited for is there. */
  complete(connection: EchoConnection): void {
    const before = connection.state
    connection.state = 'free'
    if (before === 'busy') this.#onAnswer(connection, performance.now())
    else this.#connecting -= 1
    this.#wake()
  }

  /** For EchoConnection: it has failed. */
  lost(connection: EchoConnection, reason: string): void {
    if (connection.state === 'connecting') this.#connecting -= 1
    this.connections.delete(connection)
    this.tally.failed(reason)
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
        for (const connection of this.connections) {
          if (connection.state === 'free') continue
          connection.reset()
          this.lost(connection, `not all ${what} within ${timeoutMs / 1000} s`)
        }
        end()
      }, timeoutMs)
      this.#wake = () => {
        if (remaining() === 0) end()
      }
      this.#wake()
    })
  }
}
