// Brings together what the two ends of each connection report, and keeps count.

import type { BackendFacts, ClientFacts } from './facts.ts'
import type { History } from './history.ts'
import { judge, type Verdict } from './judge.ts'
import { planOf } from './plan.ts'

export interface Violation {
  readonly id: number
  readonly why: string
  /** Finds its line in the gateway's access log. */
  readonly localPort?: number
}

/** Violations kept whole; further ones are counted. */
const violationsKeptMax = 50

export class Ledger {
  readonly verdicts: Partial<Record<Verdict['kind'], number>> = {}
  readonly violations: Violation[] = []
  connections = 0
  comparedBytes = 0
  readonly #seed: number
  readonly #history: History
  readonly #onViolation: (violation: Violation) => void
  readonly #clients = new Map<number, ClientFacts>()
  /** Of connections whose client has not ended; there may be several attempts. */
  readonly #backends = new Map<number, BackendFacts[]>()
  readonly #settled = new Set<number>()

  constructor({ seed, history, onViolation }: { readonly seed: number; readonly history: History; readonly onViolation: (violation: Violation) => void }) {
    this.#seed = seed
    this.#history = history
    this.#onViolation = onViolation
  }

  /** Connections whose client has ended and whose backend has not said so. */
  get waiting(): readonly number[] {
    return Array.from(this.#clients.keys())
  }

  client(facts: ClientFacts): void {
    this.connections += 1
    this.comparedBytes += facts.receivedBytes
    this.#clients.set(facts.id, facts)
    this.#settle(facts)
  }

  backend(facts: BackendFacts): void {
    this.comparedBytes += facts.receivedBytes
    if (this.#settled.has(facts.id)) {
      // Of an earlier attempt, or of a client that had left; its bytes must be right all the same.
      if (facts.wrong !== undefined) this.#violation({ id: facts.id, why: `the backend received ${facts.wrong}` })
      return
    }
    const others = this.#backends.get(facts.id)
    if (others === undefined) this.#backends.set(facts.id, [facts])
    else others.push(facts)
    const client = this.#clients.get(facts.id)
    if (client !== undefined) this.#settle(client)
  }

  /** Settles what waited for a backend that will not report any more. */
  review(): void {
    for (const client of this.#clients.values()) this.#settle(client)
  }

  #violation(violation: Violation): void {
    this.verdicts.wrong = (this.verdicts.wrong ?? 0) + 1
    if (this.violations.length >= violationsKeptMax) return
    this.violations.push(violation)
    this.#onViolation(violation)
  }

  #settle(client: ClientFacts): void {
    const { id, answeredBy, localPort } = client
    const attempts = this.#backends.get(id) ?? []
    const backend = attempts.find(({ index, generation }) => index === answeredBy?.index && generation === answeredBy.generation)
    if (answeredBy !== undefined && backend === undefined && !this.#history.wasKilled(answeredBy)) return
    this.#clients.delete(id)
    this.#backends.delete(id)
    this.#settled.add(id)
    const plan = planOf(this.#seed, id)
    const wrongAttempt = attempts.find(({ wrong }) => wrong !== undefined)
    const verdict = judge(plan, client, backend ?? wrongAttempt, this.#history)
    if (verdict.kind === 'wrong') this.#violation({ id, why: `${verdict.why} (${JSON.stringify(plan)})`, ...(localPort === undefined ? {} : { localPort }) })
    else this.verdicts[verdict.kind] = (this.verdicts[verdict.kind] ?? 0) + 1
  }
}
