// Relayed connections whose bytes the kernel moves by itself (program.ts), and how they get in and out. Everything special
// is done outside: whatever happens to a connection in the lane, but small messages that are taken, makes it leave, and
// then the epoll relay has it as if it had never been away.
//
//   out ── enter: both open, nothing waits ──▶ in ── more than the budget, FIN, RST, told to ──▶ leaving ──▶ out
//
// The budget is what keeps memory bounded: the kernel's redirect has no backpressure. It is a part of the other side's send
// buffer, so what is redirected always fits in there, and nothing waits in a queue of the lane's own. How one leaves is
// lane-leaving.ts; who may come in, lane-candidates.ts.

import type { KernelLaneLeave } from '../../../core/kernel-lane-policy.ts'
import type { RelayCells } from '../../../core/relay-cells.ts'
import { slotState, tokenBit, type ConnectionTable } from '../connection-table.ts'
import * as libc from '../libc.ts'
import type { Clock, PendingBytes } from '../pending-bytes.ts'
import { LaneLeaving, type LaneEvents } from './lane-leaving.ts'
import type { LaneMaps } from './lane-maps.ts'
import { LanePlaces, none, stay } from './lane-places.ts'

/** Of a direction, in flight inside the kernel; and no more than this part of the send buffer that it goes to. */
const budgetBytesMax = 256 * 1024
const budgetOfSendBuffer = 4
/** With a smaller send buffer a connection stays out. */
const budgetBytesMin = 4 * 1024
/** Counts of connections in the lane are read so often, for metrics and the policy. */
const sweepMs = 100
/** While in the lane: new bytes wake nobody, only an end does. */
const endEvents = libc.EPOLLRDHUP | libc.EPOLLET
const goneEvents = libc.EPOLLHUP | libc.EPOLLERR
const allEndEvents = libc.EPOLLRDHUP | libc.EPOLLHUP | libc.EPOLLERR | libc.EPOLLPRI

export interface KernelLaneParts {
  readonly table: ConnectionTable
  readonly cells: RelayCells
  readonly clock: Clock
  readonly epoll: libc.Epoll
  readonly pending: PendingBytes
  readonly maps: LaneMaps
  /** What the epoll relay watches a descriptor for. */
  readonly relayEvents: number
  readonly events: LaneEvents
}

export class KernelLane {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  readonly #epoll: libc.Epoll
  readonly #pending: PendingBytes
  readonly #maps: LaneMaps
  readonly #relayEvents: number
  readonly #places: LanePlaces
  readonly #leaving: LaneLeaving
  #sweepAtMs = Infinity

  constructor({ table, cells, clock, epoll, pending, maps, relayEvents, events }: KernelLaneParts) {
    this.#table = table
    this.#clock = clock
    this.#epoll = epoll
    this.#pending = pending
    this.#maps = maps
    this.#relayEvents = relayEvents
    this.#places = new LanePlaces({ table, cells, clock, maps })
    this.#leaving = new LaneLeaving({ table, clock, pending, maps, places: this.#places, events })
  }

  holds(slot: number): boolean {
    return this.#places.placeOf(slot) !== none
  }

  /** Connections that are in it, or about to leave. */
  get size(): number {
    return this.#places.members.length
  }

  /** Until something is due, in milliseconds. */
  get waitMs(): number {
    return Math.max(0, Math.min(this.#sweepAtMs, this.#leaving.dueAtMs) - this.#clock.nowMs)
  }

  /** Into the lane, if it is as quiet as it must be for that. @returns whether it is in */
  enter(slot: number): boolean {
    const [downstream, upstream] = [2 * slot, 2 * slot + 1]
    if (!this.#places.hasRoom || this.holds(slot) || !this.#isQuiet(downstream) || !this.#isQuiet(upstream)) return false
    // Its pipe, which is empty, is others' now.
    for (const token of [downstream, upstream]) this.#pending.discard(token)
    const place = this.#places.take()
    for (const token of [downstream, upstream]) {
      if (this.#prepare(2 * place + (token & 1), token)) continue
      this.#places.giveBack(place, slot)
      return false
    }
    this.#places.add(place, slot)
    this.#sweepAtMs = Math.min(this.#sweepAtMs, this.#clock.nowMs + sweepMs)
    for (const token of [downstream, upstream]) {
      const fd = this.#table.fdOf(token)
      if (!this.#maps.addVerdict(2 * place + (token & 1), fd)) {
        // An end has come meanwhile: it is told of once it is out.
        this.leave(slot, 'ending')
        return true
      }
      this.#epoll.modify(fd, endEvents, token)
    }
    this.#places.lookForBytes(slot)
    return true
  }

  /** Something happened to a descriptor of a connection that it holds. */
  ready(token: number, events: number): void {
    const slot = token >> 1
    const place = this.#places.placeOf(slot)
    const ends = (events & allEndEvents) !== 0
    if (ends) this.#table.set(token, tokenBit.readable | tokenBit.ending)
    if ((events & goneEvents) !== 0) this.#places.gone[2 * place + (token & 1)] = 1
    if (this.#places.stay[place] === stay.in) {
      if (ends) this.leave(slot, 'ending')
      return
    }
    if ((events & libc.EPOLLOUT) !== 0 && this.#pending.waiting(token ^ 1)) this.#pending.writePending(token ^ 1)
    this.#leaving.step(slot)
  }

  readNotices(): void {
    this.#maps.readNotices(this.#noticed)
  }

  /** The program has told of a socket: its budget runs out, or it has. */
  readonly #noticed = (mark: number): void => {
    const place = mark >> 1
    if (this.#places.stay[place] !== stay.in) return
    if (this.#maps.stopped(mark)) this.leave(this.#places.slot[place] ?? 0, 'bulky')
    else this.#grant(mark, (this.#places.slot[place] ?? 0) * 2 + (mark & 1))
  }

  leave(slot: number, why: KernelLaneLeave): void {
    const place = this.#places.placeOf(slot)
    if (place === none || this.#places.stay[place] !== stay.in) return
    this.#leaving.begin(place, why)
    // What is there already is told of again.
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) this.#epoll.modify(this.#table.fdOf(token), this.#relayEvents, token)
    this.#leaving.step(slot)
  }

  leaveAll(why: KernelLaneLeave): void {
    for (const place of this.#places.members.slice()) this.leave(this.#places.slot[place] ?? 0, why)
  }

  /** Those that moved bytes since `forgetActive`, as far as has been seen: the others cost nobody anything. */
  leaveActive(why: KernelLaneLeave): void {
    for (const place of this.#places.members.filter((each) => this.#places.active[each] === 1)) this.leave(this.#places.slot[place] ?? 0, why)
  }

  get active(): number {
    let active = 0
    for (const place of this.#places.members) active += this.#places.active[place] ?? 0
    return active
  }

  forgetActive(): void {
    for (const place of this.#places.members) this.#places.active[place] = 0
  }

  /** One that leaves, as far as it gets. */
  step(slot: number): void {
    this.#leaving.step(slot)
  }

  /** Its connection ends now, or is handed to others: out at once, whatever is on its way. */
  release(slot: number): void {
    const place = this.#places.placeOf(slot)
    if (place === none) return
    this.#places.refresh(place, slot)
    this.#maps.removeVerdicts(place)
    // It waits for the packet that is being handled: the place may be another connection's at once.
    this.#places.lookForBytes(slot)
    this.#places.remove(place, slot)
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) {
      const fd = this.#table.fdOf(token)
      if (fd !== -1) this.#epoll.modify(fd, this.#relayEvents, token)
    }
  }

  /** A connection begins in this slot. */
  begin(slot: number): void {
    this.#places.everIn[slot] = 0
  }

  /** Before its deadlines are judged: what it has moved by now counts. */
  look(slot: number): void {
    const place = this.#places.placeOf(slot)
    if (place !== none) this.#places.refresh(place, slot)
  }

  /** At the end of `token`'s stream: whether all that its peer has sent was moved, by whomever. */
  isWhole(token: number): boolean {
    if (this.#places.everIn[token >> 1] === 0) return true
    const received = libc.receivedBytes(this.#table.fdOf(token))
    return received <= 0 || received - 1 === (this.#table.readBytes[token] ?? 0)
  }

  /** What is due by now. */
  run(): void {
    this.#leaving.retry()
    if (this.#clock.nowMs < this.#sweepAtMs) return
    for (let index = this.#places.members.length - 1; index >= 0; index--) {
      const place = this.#places.members[index] ?? 0
      const slot = this.#places.slot[place] ?? 0
      this.#places.refresh(place, slot)
      // A notice that found no room in the ring.
      if (this.#places.stay[place] === stay.in && (this.#maps.stopped(2 * place) || this.#maps.stopped(2 * place + 1))) this.leave(slot, 'bulky')
    }
    this.#sweepAtMs = this.#places.members.length === 0 ? Infinity : this.#clock.nowMs + sweepMs
  }

  #isQuiet(token: number): boolean {
    const table = this.#table
    const quiet = tokenBit.readable | tokenBit.registered | tokenBit.spliced
    return table.state[token >> 1] === slotState.relaying && table.relayBits[token >> 1] === 0 && !this.#pending.waiting(token)
      && table.has(token, tokenBit.registered) && !table.has(token, 0xffff & ~quiet)
      // The program is given whole packets: of one that was read in part it would move what went across already.
      && libc.unreadBytes(table.fdOf(token)) === 0
  }

  /** All but the program's being run for it. */
  #prepare(mark: number, token: number): boolean {
    const fd = this.#table.fdOf(token)
    const at = libc.streamPositions(fd)
    if (at === undefined || at.taken !== (this.#table.readBytes[token] ?? 0)) return false
    this.#places.clear(mark, at.given, at.next)
    // What a reader that stopped has left in the send queue takes its part of the budget.
    const budget = this.#budgetOf(token) - libc.unacknowledgedBytes(this.#table.fdOf(token ^ 1))
    if (budget < budgetBytesMin) return false
    this.#maps.grant(mark, budget, budget >>> 1)
    return this.#maps.name(mark, fd) && this.#maps.addPeer(mark, fd)
  }

  /** Of what comes from `token`. */
  #budgetOf(token: number): number {
    return Math.min(budgetBytesMax, Math.floor(libc.sendBufferBytes(this.#table.fdOf(token ^ 1)) / budgetOfSendBuffer))
  }

  /** What is left of the budget, once what the other side has acknowledged is taken off. */
  #grant(mark: number, token: number): void {
    const fd = this.#table.fdOf(token ^ 1)
    const redirected = this.#maps.redirected(mark)
    this.#places.countRedirected(mark, token, redirected)
    // What it had been given before counts as unacknowledged too: the budget is for the whole buffer.
    const unacknowledged = (this.#places.givenBefore[mark ^ 1] ?? 0) + (this.#places.moved[mark] ?? 0) - libc.acknowledgedBytes(fd)
    const left = Math.max(0, this.#budgetOf(token) - Math.max(0, unacknowledged))
    this.#maps.grant(mark, redirected + left, left >>> 1)
  }
}
