// Connection rate: connect, send the hello, read its echo, reset; and the next. So many at a time. The reset goes to the
// backend only if the relay passes it on.

import { type ClientOwner, Clients } from './clients.ts'
import { EchoCheck } from './echo-check.ts'
import { waitMsMax } from './event-loop.ts'
import type { Load, LoadParts, LoadSpec, LoadTally } from './load.ts'
import { Tally } from './tally.ts'

const answerTimeoutMs = 3_000
/** After a failure, so that a relay that is gone is not asked in a tight loop. */
const failurePauseMs = 10

/** A slot is a lane: one connection after another. */
export class ConnectLoad implements Load, ClientOwner {
  readonly #lanes: number
  readonly #helloBytes: number
  readonly #clients: Clients
  readonly #check: EchoCheck
  readonly #tally = new Tally()
  /** When the lane's connection was begun; -1 while there is none. */
  readonly #beganAtMs: Float64Array
  #running = false
  #active = 0
  #idle: () => void = () => undefined

  constructor({ spec, target, loop }: LoadParts<Extract<LoadSpec, { kind: 'connect' }>>) {
    this.#lanes = spec.connections
    this.#helloBytes = target.hello.length
    this.#beganAtMs = new Float64Array(spec.connections).fill(-1)
    this.#check = new EchoCheck({ loop, hello: target.hello, payloadBytes: 0, slots: spec.connections })
    this.#clients = new Clients({ loop, target, slots: spec.connections, traffic: 'requests', owner: this })
  }

  prepare(): Promise<void> {
    return Promise.resolve()
  }

  start(): void {
    this.#running = true
    this.#active = this.#lanes
    for (let lane = 0; lane < this.#lanes; lane += 1) this.#next(lane)
  }

  openWindow(): void {
    this.#tally.openWindow()
  }

  closeWindow(): void {
    this.#running = false
    this.#tally.closeWindow()
  }

  async finish(): Promise<void> {
    if (this.#active > 0) await this.#lastAnswers()
    this.#clients.close()
  }

  tally(): LoadTally {
    return this.#tally.result()
  }

  beforeWait(): number {
    return waitMsMax
  }

  connected(): void {
    this.#tally.opened += 1
    this.#tally.sentBytes += this.#helloBytes
  }

  read(lane: number, byteLength: number): void {
    this.#tally.receivedBytes += byteLength
    const progress = this.#check.take(lane, byteLength)
    if (progress === 'partial') return
    this.#clients.reset(lane)
    if (progress === 'complete') this.#tally.timed(this.#beganAtMs[lane] ?? 0, performance.now())
    else this.#tally.failed('the echo differs from what was sent')
    this.#next(lane)
  }

  writable(): void {
    // The hello is all that is sent.
  }

  broken(lane: number, reason: string): void {
    this.#beganAtMs[lane] = -1
    this.#tally.failed(reason)
    setTimeout(() => this.#next(lane), failurePauseMs)
  }

  #next(lane: number): void {
    if (this.#running) {
      this.#check.expectHello(lane)
      this.#beganAtMs[lane] = performance.now()
      this.#clients.open(lane)
      return
    }
    this.#beganAtMs[lane] = -1
    this.#active -= 1
    if (this.#active === 0) this.#idle()
  }

  /** Resolves when every lane has ended. */
  async #lastAnswers(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#beganAtMs.forEach((beganAtMs, lane) => {
          if (beganAtMs === -1) return
          this.#clients.reset(lane)
          this.#tally.failed('no answer in time')
          this.#next(lane)
        })
      }, answerTimeoutMs)
      this.#idle = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
