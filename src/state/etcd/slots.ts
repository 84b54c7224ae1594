// So many calls at once, and the others in the order in which they came: whoever has thousands to make at once would otherwise wait for
// answers that etcd can't have given yet, and take it for dead.

import { StoreUnavailableError } from '../store.ts'

const callsMax = 128
const waitingMax = 500_000

export class Slots {
  #taken = 0
  readonly #waiting = new Set<() => void>()

  /** @throws {StoreUnavailableError} over the limit of those that wait */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.#take()
    try {
      return await work()
    } finally {
      this.#giveOn()
    }
  }

  async #take(): Promise<void> {
    if (this.#taken < callsMax) {
      this.#taken += 1
      return
    }
    if (this.#waiting.size >= waitingMax) throw new StoreUnavailableError(`${waitingMax} calls of etcd wait already`)
    await new Promise<void>((resolve) => {
      this.#waiting.add(resolve)
    })
  }

  #giveOn(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#taken -= 1
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
