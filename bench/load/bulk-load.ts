// Bulk: so many connections read from a source, or write to a sink, as fast as it goes.
//
// What is uploaded is counted where it arrives, at the sink: what has been written here may still be in a buffer.

import { type ClientOwner, HelloClient } from './hello-client.ts'
import type { Load, LoadSpec, LoadTally, LoadTarget } from './load.ts'
import { Tally } from './tally.ts'

const chunk = Buffer.alloc(256 * 1024, 0x55)
const openTimeoutMs = 10_000

type BulkSpec = Extract<LoadSpec, { kind: 'download' | 'upload' }>

export class BulkLoad implements Load, ClientOwner {
  readonly #spec: BulkSpec
  readonly #target: LoadTarget
  readonly #tally = new Tally()
  #clients: HelloClient[] = []
  #connecting = new Set<HelloClient>()
  #opened: () => void = () => undefined

  constructor(spec: BulkSpec, target: LoadTarget) {
    this.#spec = spec
    this.#target = target
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
      this.#clients = Array.from({ length: this.#spec.connections }, () => new HelloClient(this.#target, this))
      this.#connecting = new Set(this.#clients)
    })
  }

  start(): void {
    if (this.#spec.kind === 'download') return
    for (const { socket } of this.#clients) {
      const fill = (): void => {
        let taken = true
        while (taken && !socket.destroyed) {
          taken = socket.write(chunk)
          this.#tally.sentBytes += chunk.length
        }
      }
      socket.on('drain', fill)
      fill()
    }
  }

  openWindow(): void {
    this.#tally.openWindow()
  }

  closeWindow(): void {
    this.#tally.closeWindow()
  }

  finish(): Promise<void> {
    for (const client of this.#clients) client.reset()
    return Promise.resolve()
  }

  tally(): LoadTally {
    return this.#tally.result()
  }

  connected(client: HelloClient): void {
    this.#tally.opened += 1
    this.#tally.sentBytes += this.#target.hello.length
    this.#settled(client)
  }

  read(_client: HelloClient, byteLength: number): void {
    this.#tally.receivedBytes += byteLength
    this.#tally.operations += byteLength
  }

  broken(client: HelloClient, reason: string): void {
    this.#tally.failed(reason)
    this.#settled(client)
  }

  #settled(client: HelloClient): void {
    this.#connecting.delete(client)
    if (this.#connecting.size === 0) this.#opened()
  }
}
