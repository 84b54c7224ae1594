// Schedulers at work on connections that begin and end: one ends, drawn at random, for each that begins.

import { createActiveCells, SharedActiveCounts, type ActiveCounts } from '../../src/core/balance/active-counts.ts'
import { createScheduler } from '../../src/core/balance/create-scheduler.ts'
import { SharedEndpointStates, type EndpointStates } from '../../src/core/balance/endpoint-states.ts'
import type { Endpoint } from '../../src/core/balance/endpoint.ts'
import { LeastConnection } from '../../src/core/balance/least-connection.ts'
import { createMaglevTable, maglevEntries } from '../../src/core/balance/maglev-table.ts'
import { schedulerKinds, type Scheduler } from '../../src/core/balance/scheduler.ts'
import type { BalanceOptions } from './options.ts'

/** Live connections for each endpoint. */
const livePerEndpoint = 20
const liveMax = 100_000
const sourcesCount = 65_536
const looksAtHeap = 5
const weights = [1, 2, 3]

export interface Cost {
  readonly scheduler: string
  readonly endpoints: number
  /** CPU time of a pick, its count, and the count of another's end. */
  readonly pickNs: number
  /** What the heap has grown by; of several looks the least, since V8 allocates in what it has not compiled yet. */
  readonly pickBytes: number
}

export interface Distribution {
  readonly scheduler: string
  readonly endpoints: number
  /** Live connections of an endpoint, in multiples of its share by weight. */
  readonly leastShare: number
  readonly mostShare: number
}

export interface Moves {
  readonly endpoints: number
  readonly entries: number
  readonly buildMs: number
  /** Entries that have another endpoint when one has left, in multiples of those that must. */
  readonly timesIdeal: number
}

export interface Balance {
  readonly costs: readonly Cost[]
  readonly distributions: readonly Distribution[]
  readonly moves: readonly Moves[]
}

const sources = Array.from({ length: sourcesCount }, (_, index) => `10.${index >> 8}.${index & 255}.7`)

export function measureBalance(options: BalanceOptions, tell: (text: string) => void): Balance {
  const costs: Cost[] = []
  const distributions: Distribution[] = []
  for (const count of options.endpoints) {
    for (const { name, endpointsMax = Infinity, make } of candidates) {
      if (count > endpointsMax) continue
      tell(`${name}, ${count} endpoints`)
      costs.push(costOf({ name, make, count, ...options }))
      distributions.push(distributionOf({ name, make, count, ...options }))
    }
  }
  return { costs, distributions, moves: [3, 10, 32, 64, 128, 256, 1_000, ...options.endpoints.filter((count) => count > 1_000)].map(movesOf) }
}

interface Candidate {
  readonly name: string
  /** With more it takes too long. */
  readonly endpointsMax?: number
  readonly make: (endpoints: readonly Endpoint[], active: ActiveCounts, states: EndpointStates) => Scheduler
}

const candidates: readonly Candidate[] = [
  ...schedulerKinds.map((kind): Candidate => ({ name: kind, make: (endpoints, active, states) => createScheduler(kind, endpoints, { active, states, firstIndex: 1 }) })),
  { name: 'wlc, 2 drawn', make: (endpoints, active, states) => new LeastConnection('wlc', endpoints, { active, states, looksMax: 2 }) },
  { name: 'wlc, all compared', endpointsMax: 1_000, make: (endpoints, active, states) => new LeastConnection('wlc', endpoints, { active, states, looksMax: endpoints.length }) },
]

interface Run extends Candidate {
  readonly count: number
  readonly threads: number
}

function costOf({ picks, ...run }: Run & { readonly picks: number }): Cost {
  const traffic = new Traffic(run)
  traffic.run(Math.min(picks, 200_000))
  const looked = Math.min(picks, 100_000)
  const grownBytes = Array.from({ length: looksAtHeap }, () => {
    const heapBytes = process.memoryUsage().heapUsed
    traffic.run(looked)
    return Math.max(0, process.memoryUsage().heapUsed - heapBytes)
  })
  const pickBytes = Math.min(...grownBytes) / looked
  const before = process.cpuUsage()
  traffic.run(picks)
  const { user, system } = process.cpuUsage(before)
  return { scheduler: run.name, endpoints: run.count, pickNs: (user + system) * 1_000 / picks, pickBytes }
}

function distributionOf({ connections, ...run }: Run & { readonly connections: number }): Distribution {
  const traffic = new Traffic(run)
  traffic.run(connections)
  const shares = traffic.shares()
  return { scheduler: run.name, endpoints: run.count, leastShare: Math.min(...shares), mostShare: Math.max(...shares) }
}

class Traffic {
  readonly #endpoints: readonly Endpoint[]
  readonly #active: ActiveCounts
  readonly #scheduler: Scheduler
  readonly #live: (Endpoint | undefined)[]
  #seed = 1

  constructor({ make, count, threads }: Run) {
    this.#endpoints = Array.from({ length: count }, (_, index) => ({ name: nameOf(index), address: '10.1.0.11', port: 31443, weight: weights[index % weights.length] ?? 1, row: index }))
    const cells = createActiveCells(threads)
    this.#active = new SharedActiveCounts(cells, 0)
    this.#scheduler = make(this.#endpoints, this.#active, new SharedEndpointStates(cells))
    this.#live = Array.from({ length: Math.min(liveMax, count * livePerEndpoint) }, () => undefined)
  }

  run(picks: number): void {
    for (let pick = 0; pick < picks; pick++) {
      const slot = this.#random() % this.#live.length
      const before = this.#live[slot]
      if (before !== undefined) this.#active.ended(before)
      const endpoint = this.#scheduler.pick([], sources[this.#random() % sourcesCount] ?? '')
      if (endpoint !== undefined) this.#active.began(endpoint)
      this.#live[slot] = endpoint
    }
  }

  shares(): number[] {
    const sum = this.#endpoints.reduce((total, { weight }) => total + weight, 0)
    return this.#endpoints.map((endpoint) => this.#active.of(endpoint) * sum / (endpoint.weight * this.#live.length))
  }

  /** From 0 to 2³⁰−1: xorshift, in numbers that take no memory. */
  #random(): number {
    let seed = this.#seed
    seed ^= seed << 13
    seed ^= seed >> 17
    seed ^= seed << 5
    this.#seed = seed
    return seed & 0x3fffffff
  }
}

function movesOf(count: number): Moves {
  const all = Array.from({ length: count }, (_, index) => ({ name: nameOf(index), weight: 1 })).toSorted((left, right) => left.name < right.name ? -1 : 1)
  const entries = maglevEntries(count)
  createMaglevTable(all, entries)
  const startMs = performance.now()
  const before = createMaglevTable(all, entries)
  const buildMs = performance.now() - startMs
  const gone = Math.floor(count / 2)
  const after = createMaglevTable(all.toSpliced(gone, 1), entries)
  let moved = 0
  for (const [entry, index] of before.entries()) if (index === gone || (after[entry] ?? 0) + ((after[entry] ?? 0) >= gone ? 1 : 0) !== index) moved += 1
  return { endpoints: count, entries, buildMs, timesIdeal: moved * count / entries }
}

function nameOf(index: number): string {
  return `10.1.${index >> 8}.${index & 255}:31443`
}
