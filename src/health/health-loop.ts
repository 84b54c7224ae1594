// The loop that checks: asks the monitor which checks are due, has them made, and hands on what has changed.
//
//   HealthMonitor ── due ──▶ Prober ── result ──▶ HealthMonitor ── updates ──▶ whoever writes states
//
// Checks under way are bounded by `underWayMax`: what is over stays due. Those that take TLS are fewer, and wait for each other
// alone: a rack that answers no handshake delays no check of a connection.

import { isIP } from 'node:net'
import type { DialNewsKind } from '../core/balance/dial-news.ts'
import type { CheckTarget, TargetChange } from '../core/balance/endpoint-register.ts'
import type { HealthKind } from '../core/health/health-spec.ts'
import { Fifo } from '../core/fifo.ts'
import { HealthMonitor, type HealthUpdate } from '../core/health/health-monitor.ts'
import type { CheckDone, CheckResult, CheckResultKind, Prober } from '../core/health/prober.ts'
import { NodeProbes } from './node-probes.ts'

/** Checks under way: with a timeout of 3 s, so many fail in as much. */
const underWayMax = 4_096
/** Of these, those that take TLS; as many others as there are targets may wait. */
const nodeProbesMax = 512
/** Between looks at checks that do not tell by themselves. */
const pollMs = 20
/** Due checks are begun together. */
const turnMsMin = 20
/** Between counts of checks where nothing else is to be told. */
const toldMsMin = 1_000
/** Updates handed on at once; the next ones a turn later. */
const updatesMax = 2_000

export interface ChecksMade {
  readonly kind: HealthKind
  readonly result: CheckResultKind
  readonly count: number
}

/** Since it was told last. */
export interface HealthNews {
  readonly updates: readonly HealthUpdate[]
  readonly made: readonly ChecksMade[]
  /** Targets that are too many to be checked. */
  readonly unchecked: number
  /** Checks that are due and have to wait for others to end. */
  readonly waiting: number
}

export interface HealthLoopOptions {
  /** That files' relative paths begin at. */
  readonly folder: string
  /** For IP addresses and kind tcp, the cheapest that there is; absent: as for the others. */
  readonly createTcpProber?: (options: { readonly done: CheckDone; readonly nowMs: () => number }) => Prober
  readonly updated: (news: HealthNews) => void
}

export class HealthLoop {
  readonly #monitor = new HealthMonitor({ nowMs: performance.now(), random: Math.random })
  readonly #updated: HealthLoopOptions['updated']
  readonly #node: NodeProbes
  readonly #tcp: Prober
  readonly #waiting = new Fifo<CheckTarget>()
  readonly #kinds = new Map<number, HealthKind>()
  readonly #made = new Map<string, { readonly kind: HealthKind; readonly result: CheckResultKind; count: number }>()
  #updates: HealthUpdate[] = []
  #toldMs = -Infinity
  #toldWaiting = 0
  #timer: NodeJS.Timeout | undefined
  #timerAtMs = Infinity

  constructor({ createTcpProber, updated, folder }: HealthLoopOptions) {
    this.#updated = updated
    const options = { done: (id: number, result: CheckResult) => this.#done(id, result), nowMs: () => performance.now() }
    this.#node = new NodeProbes({ ...options, folder })
    this.#tcp = createTcpProber?.(options) ?? this.#node
  }

  change({ added, removed, down }: TargetChange): void {
    const nowMs = performance.now()
    this.#monitor.remove(removed, nowMs)
    this.#monitor.add(added, nowMs, new Set(down))
    this.#turnIn(0)
  }

  /** What clients' dials have come to. */
  clients(ids: readonly number[], kind: DialNewsKind): void {
    const nowMs = performance.now()
    for (const id of ids) {
      if (kind === 'connected') this.#monitor.clientConnected(id, nowMs)
      else this.#monitor.clientFailed(id, kind, nowMs)
    }
    this.#turnIn(0)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timerAtMs = -Infinity
    this.#node.close()
    if (this.#tcp !== this.#node) this.#tcp.close()
  }

  #done(id: number, result: CheckResult): void {
    const kind = this.#kinds.get(id)
    this.#kinds.delete(id)
    if (kind !== undefined) this.#count(kind, result.kind)
    this.#monitor.checked(id, result, performance.now())
    // Those that tell by themselves come outside of a turn.
    this.#turnIn(turnMsMin)
  }

  #count(kind: HealthKind, result: CheckResultKind): void {
    const key = `${kind} ${result}`
    const made = this.#made.get(key)
    if (made === undefined) this.#made.set(key, { kind, result, count: 1 })
    else made.count += 1
  }

  #turn(): void {
    this.#timerAtMs = Infinity
    if (this.#tcp.size > 0) this.#tcp.poll?.(performance.now())
    const nowMs = performance.now()
    this.#monitor.grow(nowMs)
    // One that has gone meanwhile is checked all the same: its result is nobody's.
    for (let next = this.#nextWaiting(); next !== undefined; next = this.#nextWaiting()) this.#node.begin(next)
    while (this.#tcp.size < underWayMax) {
      const target = this.#monitor.takeDue(nowMs)
      if (target === undefined) break
      this.#begin(target)
    }
    this.#handOn()
    const isPolled = this.#tcp.poll !== undefined && this.#tcp.size > 0
    const untoldMs = this.#updates.length > 0 ? pollMs : this.#isNewsworthy() ? toldMsMin : Infinity
    this.#turnIn(Math.max(turnMsMin, Math.min(isPolled ? pollMs : Infinity, untoldMs, this.#monitor.waitMs(performance.now()))))
  }

  #begin(target: CheckTarget): void {
    const kind = target.health?.kind ?? 'tcp'
    this.#kinds.set(target.id, kind)
    if (kind === 'tcp' && isIP(target.address) !== 0) this.#tcp.begin(target)
    else if (this.#node.size < nodeProbesMax) this.#node.begin(target)
    else this.#waiting.push(target)
  }

  #nextWaiting(): CheckTarget | undefined {
    return this.#node.size < nodeProbesMax ? this.#waiting.shift() : undefined
  }

  #handOn(): void {
    for (const update of this.#monitor.takeUpdates()) this.#updates.push(update)
    const nowMs = performance.now()
    if (this.#updates.length === 0 && (!this.#isNewsworthy() || nowMs - this.#toldMs < toldMsMin)) return
    const waiting = this.#waiting.length
    this.#toldMs = nowMs
    this.#toldWaiting = waiting
    const updates = this.#updates.splice(0, updatesMax)
    const made = [...this.#made.values()]
    this.#made.clear()
    this.#updated({ updates, made, unchecked: this.#monitor.figures.unchecked, waiting })
  }

  #isNewsworthy(): boolean {
    return this.#made.size > 0 || this.#waiting.length !== this.#toldWaiting
  }

  #turnIn(waitMs: number): void {
    const atMs = performance.now() + waitMs
    if (atMs >= this.#timerAtMs || waitMs === Infinity) return
    clearTimeout(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = setTimeout(() => this.#turn(), waitMs)
  }
}
