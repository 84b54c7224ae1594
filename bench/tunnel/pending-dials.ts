// Connections that ask a proxy for an address where nobody answers, and wait for what it says of that.

import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connectHead } from '../load/target-address.ts'
import type { LoadTarget } from '../load/load.ts'

/** Opened before the proxy has a moment to accept: fewer than its backlog. */
const openedAtOnce = 64
const openPauseMs = 4
const settleTimeoutMs = 20_000
const pollMs = 20

export interface PendingOutcome {
  /** How many, by the status, or by the beginning of what is no HTTP. */
  readonly answered: ReadonlyMap<string, number>
  /** Without an answer, or never let in. */
  readonly closed: number
  readonly waiting: number
  /** From the CONNECT. */
  readonly slowestAnswerMs: number
}

export class PendingDials {
  readonly #path: string
  readonly #head: Uint8Array
  readonly #waiting = new Set<Socket>()
  readonly #answered = new Map<string, number>()
  #closed = 0
  #slowestAnswerMs = 0

  /** @param target with a proxy, which it asks for what nobody answers at */
  constructor(target: LoadTarget) {
    if (target.connectProxy === undefined) throw new Error('bug: dials without a proxy')
    this.#path = target.connectProxy
    this.#head = connectHead(target)
  }

  get outcome(): PendingOutcome {
    return { answered: this.#answered, closed: this.#closed, waiting: this.#waiting.size, slowestAnswerMs: this.#slowestAnswerMs }
  }

  /** Resolves when all have asked. */
  async open(count: number): Promise<void> {
    for (let opened = 0; opened < count; opened += 1) {
      this.#open()
      if (opened % openedAtOnce === openedAtOnce - 1) await delay(openPauseMs)
    }
  }

  /** Resolves when nobody waits any more, or when that takes too long. */
  async settle(): Promise<void> {
    const deadlineMs = performance.now() + settleTimeoutMs
    while (this.#waiting.size > 0 && performance.now() < deadlineMs) await delay(pollMs)
  }

  close(): void {
    for (const socket of this.#waiting) socket.destroy()
    this.#waiting.clear()
  }

  #open(): void {
    const startMs = performance.now()
    const socket = connect({ path: this.#path })
    this.#waiting.add(socket)
    socket.write(this.#head)
    socket.once('data', (answer: Buffer) => {
      const text = answer.toString('latin1')
      const status = /^HTTP\/\S+ (\d{3}) /.exec(text)?.[1] ?? JSON.stringify(text.slice(0, 40))
      this.#answered.set(status, (this.#answered.get(status) ?? 0) + 1)
      this.#slowestAnswerMs = Math.max(this.#slowestAnswerMs, performance.now() - startMs)
      this.#waiting.delete(socket)
      socket.destroy()
    })
    // Its close follows.
    socket.on('error', () => undefined)
    socket.once('close', () => {
      if (this.#waiting.delete(socket)) this.#closed += 1
    })
  }
}
