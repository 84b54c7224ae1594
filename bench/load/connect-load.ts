// Connection rate: connect, send the hello, read its echo, reset; and the next. So many at a time. The reset goes to the
// backend only if the relay passes it on.

import { EchoCheck } from './echo-check.ts'
import { type ClientOwner, HelloClient } from './hello-client.ts'
import type { Load, LoadSpec, LoadTally, LoadTarget } from './load.ts'
import { Tally } from './tally.ts'

const answerTimeoutMs = 3_000
/** After a failure, so that a relay that is gone is not asked in a tight loop. */
const failurePauseMs = 10

/** One after another. */
class Lane implements ClientOwner {
  readonly #load: ConnectLoad
  readonly #check: EchoCheck
  #client: HelloClient | undefined
  #beganAtMs = 0

  constructor(load: ConnectLoad) {
    this.#load = load
    this.#check = new EchoCheck(load.target.hello)
  }

  next(): void {
    this.#client = undefined
    if (!this.#load.begin()) return
    this.#check.restart(this.#load.target.hello)
    this.#beganAtMs = performance.now()
    this.#client = new HelloClient(this.#load.target, this)
  }

  /** Ends the connection under way, if there is one. */
  abandon(): void {
    if (this.#client === undefined) return
    this.#client.reset()
    this.#load.failed('no answer in time')
    this.next()
  }

  connected(): void {
    this.#load.counts.opened += 1
    this.#load.counts.sentBytes += this.#load.target.hello.length
  }

  read(client: HelloClient, byteLength: number, bytes: Buffer): void {
    this.#load.counts.receivedBytes += byteLength
    const progress = this.#check.take(byteLength, bytes)
    if (progress === 'partial') return
    client.reset()
    if (progress === 'complete') this.#load.counts.timed(this.#beganAtMs, performance.now())
    else this.#load.failed('the echo differs from what was sent')
    this.next()
  }

  broken(_client: HelloClient, reason: string): void {
    this.#client = undefined
    this.#load.failed(reason)
    setTimeout(() => this.next(), failurePauseMs)
  }
}

export class ConnectLoad implements Load {
  readonly target: LoadTarget
  readonly counts = new Tally()
  readonly #lanes: Lane[]
  #running = false
  #active = 0
  #idle: () => void = () => undefined

  constructor(spec: Extract<LoadSpec, { kind: 'connect' }>, target: LoadTarget) {
    this.target = target
    this.#lanes = Array.from({ length: spec.connections }, () => new Lane(this))
  }

  prepare(): Promise<void> {
    return Promise.resolve()
  }

  start(): void {
    this.#running = true
    this.#active = this.#lanes.length
    for (const lane of this.#lanes) lane.next()
  }

  openWindow(): void {
    this.counts.openWindow()
  }

  closeWindow(): void {
    this.#running = false
    this.counts.closeWindow()
  }

  async finish(): Promise<void> {
    if (this.#active === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        for (const lane of this.#lanes) lane.abandon()
      }, answerTimeoutMs)
      this.#idle = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  tally(): LoadTally {
    return this.counts.result()
  }

  failed(reason: string): void {
    this.counts.failed(reason)
  }

  /** For a lane: whether it may begin another connection; if not, it has ended. */
  begin(): boolean {
    if (this.#running) return true
    this.#active -= 1
    if (this.#active === 0) this.#idle()
    return false
  }
}
