// The load generator: threads with event loops of their own, apart from the backends' processes and the relays'.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { GeneratorReply, GeneratorRequest } from './generator-protocol.ts'
import { type LoadSpec, type LoadTally, type LoadTarget, shareOf } from './load.ts'

export class Generator {
  readonly #threads: readonly Worker[]
  /** Those that have a share of the load that runs now. */
  #active: readonly Worker[] = []

  /** @param threads over which connections are spread */
  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => new Worker(new URL('generator-thread.ts', import.meta.url)))
  }

  async prepare(spec: LoadSpec, target: LoadTarget): Promise<void> {
    const shares = this.#threads.map((thread, index) => ({ thread, share: shareOf(spec, index, this.#threads.length) }))
    this.#active = shares.filter(({ share }) => share !== undefined).map(({ thread }) => thread)
    await Promise.all(shares.map(async ({ thread, share }) => {
      if (share !== undefined) await ask(thread, { step: 'prepare', spec: share, target })
    }))
  }

  async start(): Promise<void> {
    await this.#all({ step: 'start' })
  }

  async openWindow(): Promise<void> {
    await this.#all({ step: 'openWindow' })
  }

  async closeWindow(): Promise<void> {
    await this.#all({ step: 'closeWindow' })
  }

  /** @returns a tally for each thread that had a share */
  async finish(): Promise<readonly LoadTally[]> {
    const replies = await this.#all({ step: 'finish' })
    return replies.flatMap(({ tally }) => tally ?? [])
  }

  async stop(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()))
  }

  async #all(request: GeneratorRequest): Promise<readonly GeneratorReply[]> {
    return await Promise.all(this.#active.map((thread) => ask(thread, request)))
  }
}

/** Rejects with the thread's own error, should it have one. */
async function ask(thread: Worker, request: GeneratorRequest): Promise<GeneratorReply> {
  thread.postMessage(request)
  const [reply] = await once(thread, 'message') as [GeneratorReply]
  return reply
}
