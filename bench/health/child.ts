// A process of the bench that is asked and answers, one request after the other.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export class Child {
  readonly #process: ChildProcess

  /** @param file beside this one */
  constructor(file: string) {
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)))
  }

  tell(request: object | string): void {
    this.#process.send(request)
  }

  async ask<Answer>(request: object | string): Promise<Answer> {
    this.tell(request)
    const [answer]: Answer[] = await once(this.#process, 'message')
    if (answer === undefined) throw new Error('bug: no answer')
    return answer
  }

  stop(): void {
    this.#process.disconnect()
  }
}
