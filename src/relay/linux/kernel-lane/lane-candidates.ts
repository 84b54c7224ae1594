// Connections that are not in the kernel lane and may go in: looked at time and again, by the rules of
// `core/kernel-lane-policy.ts`.

import { openSync, readSync } from 'node:fs'
import { judgeLoad, mayEnter, mayFillCores, openGate, type KernelLaneLeave, type KernelLaneMode, type LaneCandidateFacts, type LaneGate } from '../../../core/kernel-lane-policy.ts'
import { slotState, type ConnectionTable } from '../connection-table.ts'
import { unreadBytes } from '../libc.ts'
import type { Clock } from '../pending-bytes.ts'
import type { KernelLane } from './kernel-lane.ts'

const lookMs = 100
/** At `always`: in as soon as can be, and in again. */
const eagerLookMs = 2
/** What the cores did before says nothing. */
const staleMs = 1_000
/** Of one look: going in takes some 30 µs, and relaying waits meanwhile. */
const entriesMax = 32
/** Of one look at a connection: what has come is relayed before each further one. A busy one has mostly a message unread when it is looked at, but not just after its last one went on. */
const triesMax = 4
/** In the lane for so long: what it was before does not count any more. */
const soundMs = 10_000

export interface LaneCandidatesParts {
  readonly table: ConnectionTable
  readonly clock: Clock
  readonly lane: KernelLane
  /** Moves what is there to be read, as after an event. */
  readonly relay: (token: number) => void
  readonly mode: KernelLaneMode
}

export class LaneCandidates {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  readonly #lane: KernelLane
  readonly #relay: (token: number) => void
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
  /** Between the last two looks. */
  readonly #movedBytes: Float64Array
  #lookAtMs = Infinity
  #lookedMs = 0
  #gate: LaneGate = openGate
  #closed = false
  readonly #idle = new IdleShare()

  constructor({ table, clock, lane, relay, mode }: LaneCandidatesParts) {
    this.#table = table
    this.#clock = clock
    this.#lane = lane
    this.#relay = relay
    this.#mode = mode
    this.#lookMs = mode === 'always' ? eagerLookMs : lookMs
    const slots = table.capacity
    this.#isCandidate = new Uint8Array(slots)
    this.#beganMs = new Float64Array(slots)
    this.#leftMs = new Float64Array(slots)
    this.#enteredMs = new Float64Array(slots)
    this.#bulkyLeaves = new Uint8Array(slots)
    this.#seenBytes = new Float64Array(slots)
    this.#movedBytes = new Float64Array(slots)
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
    this.#judge()
    this.#lane.forgetActive()
    if (this.#gate.isOpen && !this.#closed) this.#admit(elapsedMs)
    const isOver = this.#closed || slots.length === 0 && (this.#mode === 'always' || this.#lane.size === 0)
    this.#lookAtMs = isOver ? Infinity : nowMs + this.#lookMs
  }

  /** Counts what the candidates have moved, and opens or closes the lane. */
  #judge(): void {
    let active = this.#lane.active
    for (const slot of this.#slots) {
      const bytes = this.#bytesOf(slot)
      this.#movedBytes[slot] = bytes - (this.#seenBytes[slot] ?? 0)
      this.#seenBytes[slot] = bytes
      if (this.#movedBytes[slot] !== 0) active += 1
    }
    if (this.#mode !== 'auto') return
    const { nowMs } = this.#clock
    // Looked at while all is quiet too: how idle they were is known only from one look to the next.
    const idleShare = mayFillCores(this.#slots.length + this.#lane.size) ? this.#idle.read(nowMs) : 1
    this.#gate = judgeLoad(this.#gate, { nowMs, active, idleShare })
    if (!this.#gate.isOpen) this.#lane.leaveActive('saturated')
  }

  #admit(elapsedMs: number): void {
    const slots = this.#slots
    // Those that leave meanwhile are added behind.
    const count = slots.length
    let [kept, entered] = [0, 0]
    for (let index = 0; index < count; index++) {
      const slot = slots[index] ?? 0
      if (!this.#isOpen(slot)) {
        this.#isCandidate[slot] = 0
      } else if (!this.#closed && entered < entriesMax && mayEnter(this.#mode, this.#factsOf(slot, elapsedMs)) && this.#enter(slot)) {
        this.#isCandidate[slot] = 0
        this.#enteredMs[slot] = this.#clock.nowMs
        entered += 1
      } else {
        slots[kept++] = slot
      }
    }
    slots.splice(kept, count - kept)
  }

  #enter(slot: number): boolean {
    for (let tries = 1; !this.#lane.enter(slot); tries++) {
      if (tries === triesMax || !this.#relayUnread(2 * slot) && !this.#relayUnread(2 * slot + 1)) return false
    }
    return true
  }

  /** @returns whether there was anything */
  #relayUnread(token: number): boolean {
    if (!this.#isOpen(token >> 1) || unreadBytes(this.#table.fdOf(token)) === 0) return false
    this.#relay(token)
    return true
  }

  #factsOf(slot: number, elapsedMs: number): LaneCandidateFacts {
    const { nowMs } = this.#clock
    const bytesPerSecond = (this.#movedBytes[slot] ?? 0) * 1_000 / elapsedMs
    return { relayedMs: nowMs - (this.#beganMs[slot] ?? 0), bytesPerSecond, sinceLeftMs: nowMs - (this.#leftMs[slot] ?? 0), bulkyLeaves: this.#bulkyLeaves[slot] ?? 0 }
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

/** Of all cores, since it was read last, or 1 where that is long ago: /proc/stat, proc_stat(5). */
class IdleShare {
  #fd = -1
  readonly #text = Buffer.alloc(256)
  #idle = 0
  #total = 0
  #readMs = -Infinity

  read(nowMs: number): number {
    if (this.#fd === -1) this.#fd = openSync('/proc/stat', 'r')
    const length = readSync(this.#fd, this.#text, 0, this.#text.length, 0)
    // cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are counted in user and nice too.
    const ticks = this.#text.toString('latin1', 0, length).split('\n', 1)[0]?.split(/ +/).slice(1, 9).map(Number) ?? []
    const total = ticks.reduce((sum, each) => sum + each, 0)
    const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0)
    const share = total === this.#total || nowMs - this.#readMs > staleMs ? 1 : (idle - this.#idle) / (total - this.#total)
    this.#idle = idle
    this.#total = total
    this.#readMs = nowMs
    return share
  }
}
