// The gateway's end of the thread that reads the configuration (config-worker.ts): checking 100,000 tenants takes longer
// than any relayed byte should wait.
//
// A thread that dies or takes too long is given up. The next load starts another one, which knows nothing of what is
// running: its change is whole.

import { Worker } from 'node:worker_threads'
import type { ConfigChange } from '../config/change.ts'
import { ConfigError, type ConfigProblem } from '../config/config-error.ts'
import type { Settings } from '../config/config.ts'
import type { LoadOptions } from '../config/parse-text.ts'
import type { StoredTenantChange } from '../config/stored-tenants.ts'
import type { TenantSpec } from '../core/snapshot.ts'
import type { ConfigReply, ConfigRequest } from './config-worker.ts'

/** Ten times what the largest file takes. */
const defaultLoadMsMax = 60_000

export interface ConfigThreadOptions extends LoadOptions {
  /** The thread has ended by itself while nobody waited for it. */
  readonly onDeath: (error: Error) => void
}

/** All that the gateway keeps of a configuration: the driver has the tenants. */
export interface ConfigFacts {
  readonly settings: Settings
  readonly tenantCount: number
  readonly hostnameCount: number
}

export interface ConfigUpdate extends ConfigFacts {
  /** Of the configuration that was committed last. */
  readonly change: ConfigChange
  /** Tenants of the store that don't hold as they were written last. */
  readonly refused: readonly ConfigProblem[]
}

export class ConfigThread {
  readonly #options: ConfigThreadOptions
  #worker: Worker | undefined
  #asked: PromiseWithResolvers<ConfigReply> | undefined
  /** By name: for a thread that comes after one that is gone. */
  readonly #stored = new Map<string, string>()

  constructor(options: ConfigThreadOptions) {
    this.#options = options
  }

  /**
   * Reads the file. One load after the other.
   * @param msMax a load that takes longer is given up
   * @throws {ConfigError} with every problem of the file
   * @throws an error that says why the thread is gone
   */
  async load(msMax = defaultLoadMsMax): Promise<ConfigUpdate> {
    return await this.#load('load', msMax)
  }

  /** As `load`, with the file as it was read last. */
  async refresh(): Promise<ConfigUpdate> {
    return await this.#load('refresh', defaultLoadMsMax)
  }

  /** Tenants of the store that were written, or are gone: for the next load or refresh. */
  changeStored(changes: readonly StoredTenantChange[]): void {
    for (const { name, text } of changes) {
      if (text === undefined) this.#stored.delete(name)
      else this.#stored.set(name, text)
    }
    this.#worker?.postMessage({ kind: 'stored', changes } satisfies ConfigRequest)
  }

  async #load(kind: 'load' | 'refresh', msMax: number): Promise<ConfigUpdate> {
    const worker = this.#worker ??= this.#start()
    // A thread that waits for a file system does not even end before it has its answer.
    const timer = setTimeout(() => this.#giveUp(worker, new Error(`loading ${this.#options.file} took over ${msMax} ms`)), msMax)
    worker.ref()
    try {
      const loaded = await this.#ask(worker, { kind })
      if (loaded.kind === 'problems') throw new ConfigError(loaded.problems)
      if (loaded.kind !== 'loaded') throw new Error(`bug: ${loaded.kind} is no answer to ${kind}`)
      const tenants: TenantSpec[] = [...loaded.change.tenants]
      while (tenants.length < loaded.changedCount) {
        const portion = await this.#ask(worker, { kind: 'tenants', from: tenants.length })
        if (portion.kind !== 'tenants') throw new Error(`bug: ${portion.kind} is no answer to tenants`)
        tenants.push(...portion.tenants)
      }
      const { settings, tenantCount, hostnameCount, change, refused } = loaded
      return { settings, tenantCount, hostnameCount, refused, change: { ...change, tenants } }
    } finally {
      clearTimeout(timer)
      worker.unref()
    }
  }

  /** What was loaded last is running: the next change is one of that. */
  commit(): void {
    this.#worker?.postMessage({ kind: 'commit' } satisfies ConfigRequest)
  }

  close(): void {
    if (this.#worker !== undefined) this.#giveUp(this.#worker, new Error('the gateway has stopped'))
  }

  async #ask(worker: Worker, request: ConfigRequest): Promise<ConfigReply> {
    if (worker !== this.#worker) throw new Error('the thread was given up')
    const asked = this.#asked = Promise.withResolvers<ConfigReply>()
    worker.postMessage(request)
    try {
      return await asked.promise
    } finally {
      this.#asked = undefined
    }
  }

  #start(): Worker {
    const { file, env } = this.#options
    const workerData: LoadOptions = { file, env }
    const worker = new Worker(new URL('config-worker.ts', import.meta.url), { workerData })
    worker.on('message', (reply: ConfigReply) => {
      if (worker === this.#worker) this.#asked?.resolve(reply)
    })
    worker.on('error', (error: Error) => this.#gone(worker, error))
    worker.on('exit', (code) => this.#gone(worker, new Error(`the thread that reads the configuration has ended (exit ${code})`)))
    if (this.#stored.size > 0) worker.postMessage({ kind: 'stored', changes: [...this.#stored].map(([name, text]) => ({ name, text })) } satisfies ConfigRequest)
    return worker
  }

  #giveUp(worker: Worker, why: Error): void {
    this.#worker = undefined
    this.#asked?.reject(why)
    void worker.terminate()
  }

  #gone(worker: Worker, why: Error): void {
    if (worker !== this.#worker) return
    this.#worker = undefined
    if (this.#asked === undefined) this.#options.onDeath(why)
    else this.#asked.reject(why)
  }
}
