// Open loop: request k is due at start + k / rate, on connection k mod n, whether or not the answers before it have
// come. Latency counts from when a request was due, so that a stall shows in all the requests that it delayed (wrk2's
// remedy for coordinated omission).
//
//   due        k=0 ───── k=1 ───── k=2 ───── k=3        one connection of two has 0, 2; the other 1, 3
//   sent       as soon as it is due and its connection is free
//   recorded   answered − due

import { type EchoConnection, EchoPool } from './echo-pool.ts'
import type { Load, LoadSpec, LoadTally, LoadTarget } from './load.ts'
import { Pacer } from './pacer.ts'
import { Tally } from './tally.ts'

type PacedSpec = Extract<LoadSpec, { kind: 'paced' }>

export class PacedLoad implements Load {
  readonly #spec: PacedSpec
  readonly #tally = new Tally()
  readonly #pool: EchoPool
  readonly #pacer: Pacer
  readonly #intervalMs: number
  #connections: EchoConnection[] = []
  #startMs = 0
  /** The first request that no wake-up has reached yet. */
  #next = 0
  #endMs = Number.POSITIVE_INFINITY

  constructor(spec: PacedSpec, target: LoadTarget) {
    this.#spec = spec
    this.#intervalMs = 1000 / spec.requestsPerSecond
    this.#pacer = new Pacer({ periodMs: this.#intervalMs, onTick: () => this.#sendDue() })
    this.#pool = new EchoPool({
      target,
      tally: this.#tally,
      payloadBytes: spec.payloadBytes,
      onAnswer: (connection, atMs) => {
        this.#tally.timed(connection.dueAtMs, atMs)
        // Those that became due while it was busy: they are late, and their latency says so.
        if (connection.nextRequest < this.#next) this.#send(connection, atMs)
      },
    })
  }

  async prepare(): Promise<void> {
    await Promise.all([this.#pool.open(this.#spec.connections), this.#pacer.ready()])
    this.#connections = Array.from(this.#pool.connections)
    for (const [index, connection] of this.#connections.entries()) connection.nextRequest = index
  }

  start(): void {
    this.#startMs = performance.now()
    this.#pacer.start(this.#startMs)
  }

  openWindow(): void {
    this.#tally.openWindow()
  }

  closeWindow(): void {
    this.#endMs = performance.now()
    this.#sendDue()
    this.#pacer.stop()
    this.#tally.closeWindow()
  }

  async finish(): Promise<void> {
    await this.#pool.settle()
    this.#pool.resetAll()
  }

  tally(): LoadTally {
    return this.#tally.result()
  }

  #sendDue(): void {
    const nowMs = performance.now()
    if (this.#connections.length === 0) return
    for (; this.#dueAtMs(this.#next) <= Math.min(nowMs, this.#endMs); this.#next += 1) {
      const connection = this.#connections[this.#next % this.#connections.length]
      if (connection?.state !== 'free' || !this.#pool.connections.has(connection)) continue
      this.#tally.delayed(this.#dueAtMs(this.#next), nowMs)
      this.#send(connection, nowMs)
    }
  }

  #send(connection: EchoConnection, nowMs: number): void {
    connection.dueAtMs = this.#dueAtMs(connection.nextRequest)
    connection.nextRequest += this.#connections.length
    connection.request(nowMs)
  }

  #dueAtMs(request: number): number {
    return this.#startMs + request * this.#intervalMs
  }
}
