// What was done to backends, workers and the configuration, and when: what may excuse a connection that did not end well.
//
// Every process here reads the same clock. A client notes its start before it connects and its end after it was told, so what
// broke a connection lies between the two.

import type { ClientFacts } from './facts.ts'
import { tenantNamed, type EndpointKind } from './topology.ts'
import type { BackendInstance } from './wire.ts'

interface Span {
  readonly fromMs: number
  /** Infinity while it lasts. */
  toMs: number
}

/** From the signal to the last socket's end: until then the system still accepts for a process, and resets. */
const dyingMsMax = 500
/** Clocks are read in whole milliseconds. */
const roundingMs = 2

export type Presence = 'present' | 'absent' | 'changing'

export class History {
  readonly #kills: (BackendInstance & { readonly atMs: number })[] = []
  readonly #downs: (Span & { readonly index: number })[] = []
  readonly #workerCrashes: Span[] = []
  readonly #changes = new Map<string, (Span & { readonly present: boolean })[]>()

  /** Just before the signal is sent. */
  killed(backend: BackendInstance): void {
    const atMs = Date.now()
    this.#kills.push({ ...backend, atMs })
    this.#downs.push({ index: backend.index, fromMs: atMs, toMs: Infinity })
  }

  restarted(index: number): void {
    const down = this.#downs.findLast((down) => down.index === index)
    if (down !== undefined) down.toMs = Date.now()
  }

  /** @returns to be called once it is over */
  workerCrashes(): () => void {
    return begin(this.#workerCrashes, {})
  }

  /** @returns to be called once the gateway has taken it */
  tenantChanges(name: string, present: boolean): () => void {
    const changes = this.#changes.get(name) ?? []
    this.#changes.set(name, changes)
    return begin(changes, { present })
  }

  wasKilled({ index, generation }: BackendInstance): boolean {
    return this.#kills.some((kill) => kill.index === index && kill.generation === generation)
  }

  presence(tenant: string, fromMs: number, toMs: number): Presence {
    let present = true
    for (const change of this.#changes.get(tenant) ?? []) {
      if (change.fromMs - roundingMs > toMs) break
      if (change.toMs + roundingMs >= fromMs) return 'changing'
      present = change.present
    }
    return present ? 'present' : 'absent'
  }

  /** What we did that may have ended this connection early. */
  excuse(tenant: string, { startMs, endMs, answeredBy }: ClientFacts): 'backend killed' | 'backend down' | 'worker crashed' | undefined {
    const life = { fromMs: startMs - roundingMs, toMs: endMs + roundingMs }
    const killedInLife = (index: EndpointKind): boolean => this.#kills.some((kill) => kill.index === index && kill.atMs >= life.fromMs - dyingMsMax && kill.atMs <= life.toMs)
    const downInLife = (index: EndpointKind): boolean => this.#downs.some((down) => down.index === index && overlap(down, life))
    if (this.#workerCrashes.some((crash) => overlap(crash, life))) return 'worker crashed'
    if (answeredBy !== undefined) {
      const { index, generation } = answeredBy
      return this.#kills.some((kill) => kill.index === index && kill.generation === generation) && killedInLife(index) ? 'backend killed' : undefined
    }
    const { endpoints } = tenantNamed(tenant)
    // An endpoint that was down all the time is no excuse, as long as there is another.
    if (endpoints.some(killedInLife)) return 'backend killed'
    return endpoints.every((endpoint) => typeof endpoint === 'string' || downInLife(endpoint)) ? 'backend down' : undefined
  }
}

function begin<Facts extends object>(spans: (Span & Facts)[], facts: Facts): () => void {
  const span = { ...facts, fromMs: Date.now(), toMs: Infinity }
  spans.push(span)
  return () => {
    span.toMs = Date.now()
  }
}

function overlap(left: Span, right: Span): boolean {
  return left.fromMs <= right.toMs && right.fromMs <= left.toMs
}
