// Which endpoints are checked when, and what their results make of them. Who makes the checks asks this, and tells it.
//
//             fall failures in a row                     16 steps
//   ready ───────────────────────────▶ down ─┐   ┌─ starting slowly ─▶ ready
//     └─ node: its address falls as a whole ─┘   └─ rise successes in a row
//
// Checks of a target come every interval ±10 %, the first one at a random time, so that many are spread evenly; while it is
// about to change (a failure, or a success of one that is down) they come ten times as often.
//
// A dial that failed counts as a failure, and brings a check at once; but the last strike is always a check's own, so that no client
// and no burst of connections can take an endpoint out. So does a connection that was accepted and not answered: the kernel of a
// process that hangs accepts for it, and a check of kind tcp would say that all is well. It is checked by a TLS handshake then, until
// one ends well. A dial that reached one which is down, where none was up, brings a check at once too, and counts as a success in the same way.
//
// Nodes. Where two ports of an address that had passed fail, and none has passed since, others are checked at once. Where so many as
// `nodePortsDown` have (or all that had passed, where these are fewer), the address is taken to be gone with all its ports; but not
// more than half of all addresses by this rule: then what fails is more likely our own network, and each port falls by its own
// checks. The first success brings checks of the other ports at once; those that were only taken to be down need one success.

import type { CheckTarget } from '../balance/endpoint-register.ts'
import type { DialFailureKind } from '../balance/dial-news.ts'
import { shareParts } from '../balance/endpoint-states.ts'
import { TokenBucket } from '../limit/token-bucket.ts'
import { TimerWheel } from '../timer-wheel.ts'
import type { HealthSpec } from './health-spec.ts'
import type { CheckResult } from './prober.ts'

/** More targets are not checked. */
const targetsCheckedMax = 500_000
/** Over which checks wait: then they come more rarely than their interval says. */
const checksPerSecondMax = 5_000
const checksBurst = 1_000
/** Part of an interval that a check comes earlier or later, at most. */
const jitter = 0.1
/** Of an interval: between checks of one that is about to change. */
const fastShare = 0.1
const fastMsMin = 1_000
/** Added targets get their first check within so many milliseconds each, but within their interval. */
const firstCheckMsEach = 1
const firstCheckMsMin = 100
/** Between checks that dials bring. */
const dialCheckMsMin = 250
/** Addresses with fewer ports are not taken to be gone as a whole. */
const nodePortsMin = 4
const nodePortsSuspect = 2
const nodePortsDown = 8
/** Of addresses that can be, rounded up. */
const nodesDownShare = 0.5
const slowStartSteps = 16

export interface HealthUpdate {
  readonly id: number
  readonly isDown: boolean
  /** Of `shareParts`. */
  readonly parts: number
  readonly why: string
  /** Absent: it is ready or down as before. */
  readonly transition?: 'checks' | 'node'
}

interface Target extends CheckTarget {
  readonly health: HealthSpec
  readonly slot: number
  readonly node: Node
  isDown: boolean
  /** It was taken to be down with its address; its own checks have not failed as often as they must. */
  isDownByNode: boolean
  isUnderWay: boolean
  /** Of kind tcp: it has accepted and not answered. */
  needsHandshake: boolean
  /** The check that is under way, or was last. */
  isWithHandshake: boolean
  /** Something was heard of it while a check was under way, which may find what was before. */
  isDoubtful: boolean
  /** The first check has not come: those that follow are spread over the interval. */
  isNew: boolean
  /** Its last check: not one that was not checked yet. */
  hasPassed: boolean
  failures: number
  successes: number
  lastBegunMs: number
  why: string
  parts: number
  readySinceMs: number
}

interface Node {
  readonly address: string
  readonly targets: Set<Target>
  /** How many have passed. */
  passing: number
  /** That had passed and failed then, with no success of any in between. */
  readonly failing: Set<Target>
  isDown: boolean
  isSuspect: boolean
}

export interface HealthMonitorOptions {
  readonly nowMs: number
  /** From 0 to 1. */
  readonly random: () => number
  /** @default 500,000 */
  readonly targetsMax?: number
  /** @default 5,000 */
  readonly checksPerSecondMax?: number
}

export class HealthMonitor {
  readonly #random: () => number
  readonly #targetsMax: number
  readonly #pace: TokenBucket
  /** What was taken of it, for the next check. */
  #mayBegin = false
  readonly #wheel: TimerWheel
  readonly #targets = new Map<number, Target>()
  readonly #bySlot: (Target | undefined)[] = []
  readonly #freeSlots: number[] = []
  readonly #nodes = new Map<string, Node>()
  #nodesWithPorts = 0
  #nodesDown = 0
  readonly #starting = new Set<Target>()
  #updates: HealthUpdate[] = []
  /** By id: too many to be checked, until others go. */
  readonly #unchecked = new Map<number, CheckTarget>()

  constructor({ nowMs, random, targetsMax = targetsCheckedMax, checksPerSecondMax: rate = checksPerSecondMax }: HealthMonitorOptions) {
    this.#random = random
    this.#targetsMax = targetsMax
    this.#pace = new TokenBucket({ ratePerSecond: rate, burst: Math.min(checksBurst, rate), nowMs })
    this.#wheel = new TimerWheel({ capacity: targetsMax, nowMs })
  }

  /** Those without `health` are passed over. @param down ids of those that are known to be down */
  add(targets: readonly CheckTarget[], nowMs: number, down: ReadonlySet<number> = new Set()): void {
    const spreadMs = Math.max(firstCheckMsMin, targets.length * firstCheckMsEach)
    for (const given of targets) {
      const { id, address, port, health } = given
      if (health === undefined) continue
      const slot = this.#freeSlots.pop() ?? this.#bySlot.length
      if (slot >= this.#targetsMax) {
        this.#unchecked.set(id, given)
        continue
      }
      const node = this.#nodeOf(address)
      const target: Target = {
        id, address, port, health, slot, node,
        isDown: down.has(id), isDownByNode: false, isUnderWay: false, needsHandshake: false, isWithHandshake: false, isDoubtful: false, isNew: true, hasPassed: false, failures: 0, successes: 0, lastBegunMs: -Infinity, why: '', parts: shareParts, readySinceMs: -Infinity,
      }
      node.targets.add(target)
      if (node.targets.size === nodePortsMin) this.#nodesWithPorts += 1
      this.#targets.set(id, target)
      this.#bySlot[slot] = target
      this.#wheel.set(slot, nowMs + this.#random() * Math.min(spreadMs, health.intervalMs))
    }
  }

  /** Those that were too many take the places of these. */
  remove(ids: readonly number[], nowMs: number): void {
    for (const id of ids) {
      this.#unchecked.delete(id)
      const target = this.#targets.get(id)
      if (target === undefined) continue
      const { node, slot } = target
      this.#targets.delete(id)
      this.#bySlot[slot] = undefined
      this.#freeSlots.push(slot)
      this.#wheel.clear(slot)
      this.#starting.delete(target)
      node.failing.delete(target)
      node.targets.delete(target)
      if (target.hasPassed) node.passing -= 1
      if (node.targets.size === nodePortsMin - 1) {
        this.#nodesWithPorts -= 1
        if (node.isDown) this.#nodeIsDown(node, false)
      }
      if (node.targets.size === 0) this.#nodes.delete(node.address)
    }
    if (this.#unchecked.size === 0 || this.#freeSlots.length === 0) return
    const next = [...this.#unchecked.values()].slice(0, this.#freeSlots.length)
    for (const { id } of next) this.#unchecked.delete(id)
    this.add(next, nowMs)
  }

  /** Targets that are checked, and those that are too many. */
  get figures(): { readonly checked: number; readonly unchecked: number; readonly nodesDown: number } {
    return { checked: this.#targets.size, unchecked: this.#unchecked.size, nodesDown: this.#nodesDown }
  }

  /** A check that is to be begun now; each is to be answered by `checked`. */
  takeDue(nowMs: number): CheckTarget | undefined {
    for (;;) {
      this.#mayBegin ||= this.#pace.take(nowMs)
      if (!this.#mayBegin) return undefined
      const slot = this.#wheel.takeDue(nowMs)
      if (slot === -1) return undefined
      const target = this.#bySlot[slot]
      if (target === undefined || target.isUnderWay) continue
      this.#mayBegin = false
      target.isUnderWay = true
      target.lastBegunMs = nowMs
      target.isWithHandshake = target.needsHandshake
      return target.needsHandshake ? { id: target.id, address: target.address, port: target.port, health: { ...target.health, kind: 'tls' } } : target
    }
  }

  /** Until `takeDue` or `grow` should be called again; Infinity: not before something happens. */
  waitMs(nowMs: number): number {
    return Math.min(this.#wheel.waitMs(nowMs), this.#starting.size > 0 ? fastMsMin / 4 : Infinity)
  }

  /** A check has ended; of one that is gone meanwhile nothing comes. */
  checked(id: number, { kind, why }: CheckResult, nowMs: number): void {
    const target = this.#targets.get(id)
    if (target === undefined) return
    target.isUnderWay = false
    // One that began before the client's failure was heard of has asked too little.
    const isEnough = target.isWithHandshake === target.needsHandshake
    if (isEnough && kind === 'passed') target.needsHandshake = false
    switch (isEnough || kind === 'failed' ? kind : 'void') {
      case 'passed': this.#passed(target, why, nowMs); break
      case 'failed': this.#failed(target, why, nowMs); break
      case 'void': this.#told(target, why); break
      default: break
    }
    this.#schedule(target, nowMs)
  }

  /** A client's connection found nobody, or nobody answered it. */
  clientFailed(id: number, kind: DialFailureKind, nowMs: number): void {
    const target = this.#targets.get(id)
    if (target === undefined || target.isDown) return
    if (kind === 'answer' && target.health.kind === 'tcp') target.needsHandshake = true
    if (target.failures < target.health.fall - 1) {
      target.failures += 1
      target.successes = 0
    }
    this.#askSoon(target, nowMs)
  }

  /** A client's connection was accepted. That is what a check of kind tcp asks: of one that is down it counts as its success, but never as the last one. */
  clientConnected(id: number, nowMs: number): void {
    const target = this.#targets.get(id)
    if (target === undefined || !target.isDown || target.health.kind !== 'tcp' || target.needsHandshake) return
    target.successes = Math.max(target.successes, Math.min(target.successes + 1, target.health.rise - 1))
    this.#askSoon(target, nowMs)
  }

  /** Those that start slowly get as much of their weight as is their time. */
  grow(nowMs: number): void {
    for (const target of this.#starting) {
      const steps = Math.min(slowStartSteps, 1 + Math.floor((nowMs - target.readySinceMs) / target.health.slowStartMs * slowStartSteps))
      const parts = steps * shareParts / slowStartSteps
      if (parts !== target.parts) {
        target.parts = parts
        this.#told(target, target.why)
      }
      if (steps === slowStartSteps) this.#starting.delete(target)
    }
  }

  /** What has changed since it was last asked, in its order. */
  takeUpdates(): readonly HealthUpdate[] {
    if (this.#updates.length === 0) return this.#updates
    const updates = this.#updates
    this.#updates = []
    return updates
  }

  #passed(target: Target, why: string, nowMs: number): void {
    const { node } = target
    target.failures = 0
    target.successes += 1
    if (!target.hasPassed) {
      target.hasPassed = true
      node.passing += 1
    }
    node.failing.clear()
    node.isSuspect = false
    if (node.isDown) this.#recover(node, nowMs)
    if (target.isDown && (target.isDownByNode || target.successes >= target.health.rise)) this.#turn(target, { isDown: false, why, by: 'checks', nowMs })
    else if (target.why !== why) this.#told(target, why)
  }

  #failed(target: Target, why: string, nowMs: number): void {
    const { node, health } = target
    target.successes = 0
    target.failures += 1
    if (target.failures >= health.fall) {
      target.isDownByNode = false
      if (!target.isDown) this.#turn(target, { isDown: true, why, by: 'checks', nowMs })
    }
    if (target.why !== why) this.#told(target, why)
    if (target.hasPassed) {
      target.hasPassed = false
      node.passing -= 1
      node.failing.add(target)
    }
    if (node.targets.size < nodePortsMin) return
    if (node.isDown) {
      if (!target.isDown) this.#fallWithNode(target, why, nowMs)
      return
    }
    const failing = node.failing.size
    if (failing >= nodePortsMin && (failing >= nodePortsDown || node.passing === 0) && this.#nodesDown + 1 <= Math.ceil(this.#nodesWithPorts * nodesDownShare)) this.#fall(node, why, nowMs)
    else if (failing >= nodePortsSuspect && !node.isSuspect) this.#suspect(node, nowMs)
  }

  #suspect(node: Node, nowMs: number): void {
    node.isSuspect = true
    let asked = node.failing.size
    for (const target of node.targets) {
      if (asked >= nodePortsDown) break
      if (!target.hasPassed || target.isUnderWay) continue
      this.#wheel.set(target.slot, nowMs)
      asked += 1
    }
  }

  #fall(node: Node, lastWhy: string, nowMs: number): void {
    this.#nodeIsDown(node, true)
    const why = `${node.failing.size} ports of ${node.address} failed together: ${lastWhy}`
    for (const target of node.targets) {
      if (!target.isDown) this.#fallWithNode(target, why, nowMs)
    }
  }

  #fallWithNode(target: Target, why: string, nowMs: number): void {
    target.isDownByNode = true
    this.#turn(target, { isDown: true, why, by: 'node', nowMs })
  }

  #recover(node: Node, nowMs: number): void {
    this.#nodeIsDown(node, false)
    const spreadMs = Math.max(firstCheckMsMin, node.targets.size * firstCheckMsEach)
    for (const target of node.targets) {
      if (target.isUnderWay) target.isDoubtful = true
      else if (target.isDown) this.#wheel.set(target.slot, nowMs + this.#random() * spreadMs)
    }
  }

  #nodeIsDown(node: Node, isDown: boolean): void {
    node.isDown = isDown
    this.#nodesDown += isDown ? 1 : -1
  }

  #turn(target: Target, { isDown, why, by, nowMs }: { readonly isDown: boolean; readonly why: string; readonly by: 'checks' | 'node'; readonly nowMs: number }): void {
    target.isDown = isDown
    this.#starting.delete(target)
    target.parts = shareParts
    if (!isDown) {
      target.isDownByNode = false
      if (target.health.slowStartMs > 0) {
        target.readySinceMs = nowMs
        target.parts = shareParts / slowStartSteps
        this.#starting.add(target)
      }
    }
    this.#told(target, why, by)
  }

  #told(target: Target, why: string, transition?: 'checks' | 'node'): void {
    target.why = why
    this.#updates.push({ id: target.id, isDown: target.isDown, parts: target.parts, why, ...(transition === undefined ? {} : { transition }) })
  }

  /** A check that is under way may have found what was before: another follows. */
  #askSoon(target: Target, nowMs: number): void {
    if (target.isUnderWay) target.isDoubtful = true
    else this.#wheel.set(target.slot, Math.max(nowMs, target.lastBegunMs + dialCheckMsMin))
  }

  #schedule(target: Target, nowMs: number): void {
    const { intervalMs } = target.health
    const isChanging = target.isDoubtful || (target.isDown ? target.successes > 0 || target.isDownByNode : target.failures > 0)
    target.isDoubtful = false
    if (target.isNew && !isChanging) {
      target.isNew = false
      this.#wheel.set(target.slot, nowMs + this.#random() * intervalMs)
      return
    }
    const afterMs = isChanging ? Math.min(intervalMs, Math.max(fastMsMin, intervalMs * fastShare)) : intervalMs
    this.#wheel.set(target.slot, nowMs + afterMs * (1 + jitter * (2 * this.#random() - 1)))
  }

  #nodeOf(address: string): Node {
    const known = this.#nodes.get(address)
    if (known !== undefined) return known
    const node: Node = { address, targets: new Set(), passing: 0, failing: new Set(), isDown: false, isSuspect: false }
    this.#nodes.set(address, node)
    return node
  }
}
