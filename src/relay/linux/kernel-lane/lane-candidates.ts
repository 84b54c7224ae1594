// Connections that are not in the kernel lane and may go in: looked at time and again, by the rules of
// `core/kernel-lane-policy.ts`.

import { openSync, readSync } from 'node:fs'
import { isBusy, isSaturated, mayEnter, type KernelLaneLeave, type KernelLaneMode } from '../../../core/kernel-lane-policy.ts'
import { slotState, type ConnectionTable } from '../connection-table.ts'
import type { Clock } from '../pending-bytes.ts'
import type { KernelLane } from './kernel-lane.ts'

const lookMs = 100
/** At `always`: in as soon as can be, and in again. */
const eagerLookMs = 2
/** In the lane for so long: what it was before does not count any more. */
const soundMs = 10_000

export interface LaneCandidatesParts {
  readonly table: ConnectionTable
  readonly clock: Clock
  readonly lane: KernelLane
  readonly mode: KernelLaneMode
}

export class LaneCandidates {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  readonly #lane: KernelLane
  readonly #mode: KernelLaneMode
  readonly #lookMs: number
  /** Slots that are looked at. */
  readonly #slots: number[] = []

  // By slot.
  readonly #isCandidate: Uint8Array
  readonly #beganMs: Float64Array
  readonly #leftMs: Float64Array
  readonly #enteredMs: Float64Array
  readonly #bulkyLeaves: Uint8Array
  readonly #seenBytes: Float64Array
  #lookAtMs = Infinity
  #lookedMs = 0
  #saturated = false
  #closed = false
  readonly #idle = new IdleShare()

  constructor({ table, clock, lane, mode }: LaneCandidatesParts) {
    this.#table = table
    this.#clock = clock
    this.#lane = lane
    this.#mode = mode
    this.#lookMs = mode === 'always' ? eagerLookMs : lookMs
    const slots = table.capacity
    this.#isCandidate = new Uint8Array(slots)
    this.#beganMs = new Float64Array(slots)
    this.#leftMs = new Float64Array(slots)
    this.#enteredMs = new Float64Array(slots)
    this.#bulkyLeaves = new Uint8Array(slots)
    this.#seenBytes = new Float64Array(slots)
  }

  /** Until they are looked at again, in milliseconds. */
  get waitMs(): number {
    return Math.max(0, this.#lookAtMs - this.#clock.nowMs)
  }

  /** Its bytes go straight across from now on. */
  begin(slot: number): void {
    this.#beganMs[slot] = this.#clock.nowMs
    this.#leftMs[slot] = -Infinity
    this.#bulkyLeaves[slot] = 0
    this.#seenBytes[slot] = this.#bytesOf(slot)
    this.#add(slot)
  }

  /** It is out of the lane again. */
  left(slot: number, why: KernelLaneLeave): void {
    const { nowMs } = this.#clock
    this.#leftMs[slot] = nowMs
    if (nowMs - (this.#enteredMs[slot] ?? 0) > soundMs) this.#bulkyLeaves[slot] = 0
    if (why === 'bulky') this.#bulkyLeaves[slot] = Math.min(255, (this.#bulkyLeaves[slot] ?? 0) + 1)
    if (why !== 'ending') this.#add(slot)
  }

  /** Nobody goes in any more. */
  close(): void {
    this.#closed = true
    this.#lookAtMs = Infinity
    this.#slots.length = 0
  }

  /** What is due by now. */
  run(): void {
    const { nowMs } = this.#clock
    if (nowMs < this.#lookAtMs) return
    const elapsedMs = Math.max(1, nowMs - this.#lookedMs)
    this.#lookedMs = nowMs
    const slots = this.#slots
    let active = this.#lane.takeActive()
    for (const slot of slots) if (this.#bytesOf(slot) !== this.#seenBytes[slot]) active += 1
    if (this.#mode === 'auto') this.#judge(active)
    let kept = 0
    for (const slot of slots) {
      const isKept = this.#isOpen(slot) && !this.#enter(slot, elapsedMs)
      if (isKept) slots[kept++] = slot
      else this.#isCandidate[slot] = 0
    }
    slots.length = kept
    this.#lookAtMs = kept === 0 && (this.#mode === 'always' || this.#lane.size === 0) ? Infinity : nowMs + this.#lookMs
  }

  #judge(active: number): void {
    const idleShare = isBusy(active) ? this.#idle.read() : 1
    const before = this.#saturated
    this.#saturated = isSaturated(before, active, idleShare)
    if (this.#saturated && !before) this.#lane.leaveAll('saturated')
  }

  #enter(slot: number, elapsedMs: number): boolean {
    const { nowMs } = this.#clock
    const bytes = this.#bytesOf(slot)
    const bytesPerSecond = (bytes - (this.#seenBytes[slot] ?? 0)) * 1_000 / elapsedMs
    this.#seenBytes[slot] = bytes
    const facts = { relayedMs: nowMs - (this.#beganMs[slot] ?? 0), bytesPerSecond, sinceLeftMs: nowMs - (this.#leftMs[slot] ?? 0), bulkyLeaves: this.#bulkyLeaves[slot] ?? 0 }
    if (!mayEnter(this.#mode, this.#saturated, facts) || !this.#lane.enter(slot)) return false
    this.#enteredMs[slot] = nowMs
    return true
  }

  /** A half-closed connection has no use for the lane. */
  #isOpen(slot: number): boolean {
    return this.#table.state[slot] === slotState.relaying && this.#table.relayBits[slot] === 0
  }

  #bytesOf(slot: number): number {
    return (this.#table.readBytes[2 * slot] ?? 0) + (this.#table.readBytes[2 * slot + 1] ?? 0)
  }

  #add(slot: number): void {
    if (this.#closed || this.#isCandidate[slot] === 1) return
    this.#isCandidate[slot] = 1
    this.#slots.push(slot)
    if (this.#lookAtMs !== Infinity) return
    this.#lookedMs = this.#clock.nowMs
    this.#lookAtMs = this.#clock.nowMs + (this.#mode === 'always' ? 0 : lookMs)
  }
}

/** Of all cores, since it was read last: /proc/stat, proc_stat(5). */
class IdleShare {
  #fd = -1
  readonly #text = Buffer.alloc(256)
  #idle = 0
  #total = 0

  read(): number {
    if (this.#fd === -1) this.#fd = openSync('/proc/stat', 'r')
    const length = readSync(this.#fd, this.#text, 0, this.#text.length, 0)
    // cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are counted in user and nice too.
    const ticks = this.#text.toString('latin1', 0, length).split('\n', 1)[0]?.split(/ +/).slice(1, 9).map(Number) ?? []
    const total = ticks.reduce((sum, each) => sum + each, 0)
    const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0)
    const share = total === this.#total ? 1 : (idle - this.#idle) / (total - this.#total)
    this.#idle = idle
    this.#total = total
    return share
  }
}
