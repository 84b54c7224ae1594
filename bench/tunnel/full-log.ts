// A log that is followed at full speed: one stream from a source, read as fast as it comes. Source and reader have a process and a
// thread of their own, so that what a load beside it has to wait for is the tunnel, and not the bench.

import { setTimeout as delay } from 'node:timers/promises'
import type { BackendCounters } from '../load/backend-protocol.ts'
import { Backends } from '../load/backends.ts'
import { Generator } from '../load/generator.ts'
import type { LoadTarget } from '../load/load.ts'

/** It flows: more than the kernel's buffers and the windows begin with. */
const flowingBytes = 16 * 1024 * 1024
const flowingTimeoutMs = 5_000
const pollMs = 10
const megabyte = 1e6

export interface LogFigures {
  readonly megabytesPerSecond: number
  readonly sourceCores: number
  readonly readerCores: number
  /** Why it ended too early. */
  readonly failure: string | undefined
}

export class FullLog {
  readonly #source: Backends
  readonly #reader = new Generator(1)
  #before: BackendCounters | undefined
  #after: BackendCounters | undefined

  private constructor(source: Backends) {
    this.#source = source
  }

  /**
   * Resolves when it flows, or when that takes too long: its figures tell.
   * @param target the source behind the tunnel; its port is another one here
   */
  static async open(target: LoadTarget): Promise<FullLog> {
    const { backends, ports: [ports] } = await Backends.start({ processes: 1, sets: 1, ...(target.address === undefined ? {} : { address: target.address }) })
    if (ports === undefined) throw new Error('bug: no source')
    const log = new FullLog(backends)
    await log.#reader.prepare({ kind: 'download', connections: 1 }, { ...target, port: ports.source })
    await log.#reader.start()
    const deadlineMs = performance.now() + flowingTimeoutMs
    while ((await log.#counters()).sentBytes < flowingBytes && performance.now() < deadlineMs) await delay(pollMs)
    return log
  }

  async openWindow(): Promise<void> {
    await this.#reader.openWindow()
    this.#before = await this.#counters()
  }

  async closeWindow(): Promise<void> {
    await this.#reader.closeWindow()
    this.#after = await this.#counters()
  }

  /** Ends it. */
  async close(): Promise<LogFigures> {
    const [before, after] = [this.#before, this.#after]
    const [tally] = await this.#reader.finish()
    await this.#reader.stop()
    this.#source.stop()
    if (before === undefined || after === undefined || tally === undefined) throw new Error('bug: a log without a window')
    const { operations, windowMs, cpuMs, firstFailure: failure } = tally
    return {
      megabytesPerSecond: operations / megabyte / (windowMs / 1000),
      sourceCores: (after.cpuMs - before.cpuMs) / (after.atMs - before.atMs),
      readerCores: cpuMs / windowMs,
      failure,
    }
  }

  async #counters(): Promise<BackendCounters> {
    const [counters] = await this.#source.counters()
    if (counters === undefined) throw new Error('bug: no source')
    return counters
  }
}
