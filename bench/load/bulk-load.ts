// Bulk: so many connections read from a source, or write to a sink, as fast as it goes.
//
// What is uploaded is counted where it arrives, at the sink: what has been written here may still be in a buffer.

import { EAGAIN, errno, SystemError } from '../../src/relay/linux/libc.ts'
import { type ClientOwner, Clients } from './clients.ts'
import { waitMsMax } from './event-loop.ts'
import type { Load, LoadParts, LoadSpec, LoadTally } from './load.ts'
import { Tally } from './tally.ts'

const chunkFill = 0x55
/** Of one connection, before the others have their turn. */
const chunksPerTurn = 8
const openTimeoutMs = 10_000

type BulkSpec = Extract<LoadSpec, { kind: 'download' | 'upload' }>

export class BulkLoad implements Load, ClientOwner {
  readonly #spec: BulkSpec
  readonly #helloBytes: number
  readonly #clients: Clients
  readonly #tally = new Tally()
  readonly #chunkBytes: number
  #connecting: Set<number> = new Set()
  #opened: () => void = () => undefined

  constructor({ spec, target, loop }: LoadParts<BulkSpec>) {
    this.#spec = spec
    this.#helloBytes = target.hello.length
    this.#chunkBytes = loop.outgoing.bytes.fill(chunkFill).length
    this.#clients = new Clients({ loop, target, slots: spec.connections, traffic: 'bulk', owner: this })
  }

  /** A source begins to send when it has the hello: what comes before `start` is warm-up as well. */
  async prepare(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#tally.failed(`not connected within ${openTimeoutMs / 1000} s`)
        resolve()
      }, openTimeoutMs)
      this.#opened = () => {
        clearTimeout(timer)
        resolve()
      }
      const slots = Array.from({ length: this.#spec.connections }, (_, slot) => slot)
      this.#connecting = new Set(slots)
      for (const slot of slots) this.#clients.open(slot)
    })
  }

  start(): void {
    if (this.#spec.kind === 'download') return
    for (let slot = 0; slot < this.#spec.connections; slot += 1) this.#clients.watchWritable(slot)
  }

  openWindow(): void {
    this.#tally.openWindow()
  }

  closeWindow(): void {
    this.#tally.closeWindow()
  }

  finish(): Promise<void> {
    this.#clients.close()
    return Promise.resolve()
  }

  tally(): LoadTally {
    return this.#tally.result()
  }

  beforeWait(): number {
    return waitMsMax
  }

  connected(slot: number): void {
    this.#tally.opened += 1
    this.#tally.sentBytes += this.#helloBytes
    this.#settled(slot)
  }

  read(_slot: number, byteLength: number): void {
    this.#tally.receivedBytes += byteLength
    this.#tally.operations += byteLength
  }

  writable(slot: number): void {
    for (let chunks = 0; chunks < chunksPerTurn; chunks += 1) {
      const sent = this.#clients.send(slot, this.#chunkBytes)
      if (sent > 0) this.#tally.sentBytes += sent
      if (sent === this.#chunkBytes) continue
      if (sent === -1 && errno() !== EAGAIN) this.#clients.fail(slot, new SystemError('send', errno()).message)
      return
    }
  }

  broken(slot: number, reason: string): void {
    this.#tally.failed(reason)
    this.#settled(slot)
  }

  #settled(slot: number): void {
    this.#connecting.delete(slot)
    if (this.#connecting.size === 0) this.#opened()
  }
}
