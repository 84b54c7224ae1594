// What the API server knows of nodes' health, asked again and again: the condition that the node lifecycle controller sets,
// with the time of its last change, so that no change between two looks is missed; and each renewal of each lease.

import { setTimeout as delay } from 'node:timers/promises'
import type { ApiServer } from './api-server.ts'
import type { HttpsResponse } from './https-request.ts'

const triesMax = 5
const retryAfterMs = 500

/** Every lease that is seen, and each time between two renewals, which are due every 10 s. */
export class NodeHealth {
  /** Times between two renewals of one lease. */
  readonly leaseGapsMs: number[] = []
  /** What was seen, a line for each time that a node was not ready. */
  readonly notReady: string[] = []
  readonly #server: ApiServer
  readonly #renewedAtMs = new Map<string, number>()
  /** Of nodes that are ready, the last change that has been taken account of. */
  readonly #readySince = new Map<string, string>()
  readonly #notReadyNow = new Set<string>()

  constructor(server: ApiServer) {
    this.#server = server
  }

  /** Ready at the last look. */
  get readyCount(): number {
    return this.#readySince.size - this.#notReadyNow.size
  }

  /** A node counts from the first look at which it is ready. @param ignored nodes that are meant to fail */
  async look(ignored: ReadonlySet<string> = new Set()): Promise<void> {
    for (const { metadata: { name }, spec: { renewTime } } of await this.#list<Lease>('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases')) {
      if (!ignored.has(name)) this.#renewed(name, Date.parse(renewTime))
    }
    for (const { metadata: { name }, status: { conditions } } of await this.#list<Node>('/api/v1/nodes')) {
      const ready = conditions.find(({ type }) => type === 'Ready')
      if (!ignored.has(name) && ready !== undefined) this.#condition(name, ready)
    }
  }

  /** The condition of one node: True, False, Unknown; undefined: there is none. */
  async condition(name: string): Promise<string | undefined> {
    const nodes = await this.#list<Node>('/api/v1/nodes')
    return nodes.find(({ metadata }) => metadata.name === name)?.status.conditions.find(({ type }) => type === 'Ready')?.status
  }

  /** For how long the lease that has waited longest has not been renewed, by this machine's clock. */
  oldestLeaseMs(): number {
    return Date.now() - Math.min(...this.#renewedAtMs.values())
  }

  /** Begins again: what was before does not count. */
  restart(): void {
    this.leaseGapsMs.length = 0
    this.notReady.length = 0
    this.#renewedAtMs.clear()
    this.#readySince.clear()
    this.#notReadyNow.clear()
  }

  #renewed(name: string, atMs: number): void {
    const before = this.#renewedAtMs.get(name)
    if (before !== undefined && atMs > before) this.leaseGapsMs.push(atMs - before)
    this.#renewedAtMs.set(name, atMs)
  }

  #condition(name: string, { status, reason, lastTransitionTime }: Condition): void {
    const before = this.#readySince.get(name)
    if (status === 'True') {
      if (before !== undefined && before !== lastTransitionTime && !this.#notReadyNow.has(name)) this.notReady.push(`${name} between two looks, until ${lastTransitionTime}`)
      this.#readySince.set(name, lastTransitionTime)
      this.#notReadyNow.delete(name)
    } else if (before !== undefined && !this.#notReadyNow.has(name)) {
      this.notReady.push(`${name}: ${status}, ${reason}, since ${lastTransitionTime}`)
      this.#notReadyNow.add(name)
    }
  }

  async #list<T>(path: string): Promise<readonly T[]> {
    const { status, body } = await this.#ask(path)
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${body}`)
    const { items }: { readonly items: readonly T[] } = JSON.parse(body)
    return items
  }

  /** A busy machine resets a connection of ours now and then: that says nothing of the nodes. */
  async #ask(path: string): Promise<HttpsResponse> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#server.request(path)
      } catch (error) {
        if (tries === triesMax) throw error
        await delay(retryAfterMs)
      }
    }
  }
}

interface Lease {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly renewTime: string }
}

interface Node {
  readonly metadata: { readonly name: string }
  readonly status: { readonly conditions: readonly Condition[] }
}

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly lastTransitionTime: string
}
