// Open loop: request k is due at start + k / rate, on connection k mod n, whether or not the answers before it have
// come. Latency counts from when a request was due, so that a stall shows in all the requests that it delayed (wrk2's
// remedy for coordinated omission).
//
//   due        k=0 ───── k=1 ───── k=2 ───── k=3        one connection of two has 0, 2; the other 1, 3
//   sent       as soon as it is due and its connection is free
//   recorded   answered − due

import { echoState, EchoPool } from './echo-pool.ts'
import { waitMsMax } from './event-loop.ts'
import type { Load, LoadParts, LoadSpec, LoadTally } from './load.ts'
import { Tally } from './tally.ts'
import { WakeTimer } from './wake-timer.ts'

type PacedSpec = Extract<LoadSpec, { kind: 'paced' }>

/** A timer wakes the thread so long before the next request is due; then it polls. */
const pollMs = 0.05

export class PacedLoad implements Load {
  readonly #connections: number
  readonly #intervalMs: number
  readonly #tally = new Tally()
  readonly #pool: EchoPool
  readonly #timer: WakeTimer
  // By slot.
  /** The number of the request that is this connection's next one. */
  readonly #nextRequest: Float64Array
  /** When the request under way was due. */
  readonly #dueAtMs: Float64Array
  #startMs = Number.POSITIVE_INFINITY
  #endMs = Number.POSITIVE_INFINITY
  /** The first request that time has not reached yet. */
  #next = 0
  /** The request that the timer is set for. */
  #awaited = -1

  constructor({ spec, target, loop }: LoadParts<PacedSpec>) {
    this.#connections = spec.connections
    this.#intervalMs = 1000 / spec.requestsPerSecond
    this.#timer = new WakeTimer(loop)
    this.#nextRequest = Float64Array.from({ length: spec.connections }, (_, slot) => slot)
    this.#dueAtMs = new Float64Array(spec.connections)
    this.#pool = new EchoPool({
      loop,
      target,
      tally: this.#tally,
      connections: spec.connections,
      payloadBytes: spec.payloadBytes,
      onAnswer: (slot, atMs) => {
        this.#tally.timed(this.#dueAtMs[slot] ?? 0, atMs)
        // Those that became due while it was busy: they are late, and their latency says so.
        if ((this.#nextRequest[slot] ?? 0) < this.#next) this.#send(slot, atMs)
      },
      beforeWait: (nowMs) => this.#beforeWait(nowMs),
    })
  }

  async prepare(): Promise<void> {
    await this.#pool.open()
  }

  start(): void {
    this.#startMs = performance.now()
  }

  openWindow(): void {
    this.#tally.openWindow()
  }

  closeWindow(): void {
    this.#endMs = performance.now()
    this.#sendDue(this.#endMs)
    this.#tally.closeWindow()
  }

  async finish(): Promise<void> {
    await this.#pool.settle()
    this.#pool.close()
    this.#timer.close()
  }

  tally(): LoadTally {
    return this.#tally.result()
  }

  #beforeWait(nowMs: number): number {
    this.#sendDue(nowMs)
    const dueAtMs = this.#dueAt(this.#next)
    if (dueAtMs > this.#endMs || dueAtMs === Number.POSITIVE_INFINITY) return waitMsMax
    const sleepMs = dueAtMs - pollMs - nowMs
    if (sleepMs <= 0) return 0
    if (this.#awaited !== this.#next) this.#timer.wakeAfter(sleepMs)
    this.#awaited = this.#next
    return waitMsMax
  }

  #sendDue(nowMs: number): void {
    for (; this.#dueAt(this.#next) <= Math.min(nowMs, this.#endMs); this.#next += 1) {
      const slot = this.#next % this.#connections
      if (this.#pool.state[slot] !== echoState.free) continue
      this.#tally.delayed(this.#dueAt(this.#next), nowMs)
      this.#send(slot, nowMs)
    }
  }

  #send(slot: number, nowMs: number): void {
    const request = this.#nextRequest[slot] ?? 0
    this.#dueAtMs[slot] = this.#dueAt(request)
    this.#nextRequest[slot] = request + this.#connections
    this.#pool.request(slot, nowMs)
  }

  #dueAt(request: number): number {
    return this.#startMs + request * this.#intervalMs
  }
}
