// Relayed connections whose bytes the kernel moves by itself (program.ts), and how they get in and out. Everything special
// is done outside: whatever happens to a connection in the lane, but small messages that are taken, makes it leave, and
// then the epoll relay has it as if it had never been away.
//
//   out ── enter: both open, nothing waits ──▶ in ── more than the budget, FIN, RST, told to ──▶ leaving ──▶ out
//
// The budget is what keeps memory bounded: the kernel's redirect has no backpressure. It is a part of the other side's send
// buffer, so what is redirected always fits in there, and nothing waits in a queue of the lane's own. Leaving:
//
//   1. The program redirects nothing more; what comes goes to the socket's own queue ("passed").
//   2. What it had redirected is in the other side's send queue: until then passed bytes, or FIN, would overtake it.
//   3. Passed bytes are read and sent on, with the backpressure of the epoll relay.
//   4. Nothing passed is left: with the receive low-water mark up, so that the program is not run, that is looked at once
//      more, and both sockets are taken out of the maps. What has come meanwhile waits in the socket for the epoll relay.

import type { KernelLaneLeave } from '../../../core/kernel-lane-policy.ts'
import { relayCell, type RelayCells } from '../../../core/relay-cells.ts'
import { slotState, tokenBit, type ConnectionTable } from '../connection-table.ts'
import * as libc from '../libc.ts'
import type { Clock, PendingBytes } from '../pending-bytes.ts'
import type { LaneMaps } from './lane-maps.ts'

/** Of a direction, in flight inside the kernel; and no more than this part of the send buffer that it goes to. */
const budgetBytesMax = 256 * 1024
const budgetOfSendBuffer = 4
/** With a smaller send buffer a connection stays out. */
const budgetBytesMin = 4 * 1024
/** What one read of a connection that leaves may bring, and what it may move before the others have their turn. */
const readBytesMax = 64 * 1024
const turnBytesMax = 256 * 1024
/** Counts of connections in the lane are read so often, for metrics and the policy. */
const sweepMs = 100
/** A connection that leaves and waits for the kernel is looked at after 1, 2, 4 … of these. */
const retryMs = 1
const retryMsMax = 64
/** Redirected bytes that are in nobody's send queue for so long, though that is empty, are lost. */
const stuckMsMax = 5_000
/** Over it the program is run though nobody is to be told: more than comes in the moment between two system calls. */
const quietLowWaterBytes = 1024 * 1024
/** While in the lane: new bytes wake nobody, only an end does. */
const endEvents = libc.EPOLLRDHUP | libc.EPOLLET
const goneEvents = libc.EPOLLHUP | libc.EPOLLERR
const allEndEvents = libc.EPOLLRDHUP | libc.EPOLLHUP | libc.EPOLLERR | libc.EPOLLPRI

const stay = { in: 1, leaving: 2 } as const
const leaves: readonly KernelLaneLeave[] = ['bulky', 'ending', 'saturated']
const leaveCell: Readonly<Record<KernelLaneLeave, number>> = { bulky: relayCell.kernelLaneLeavesBulky, ending: relayCell.kernelLaneLeavesEnding, saturated: relayCell.kernelLaneLeavesSaturated }
/** In column `placeOf`. */
const none = -1

export interface LaneEvents {
  /** It is out again: the epoll relay reads both sides. @param errors by side: what a read that ended it has told, or 0 */
  left(slot: number, why: KernelLaneLeave, errors: readonly [number, number]): void
  /** Bytes were lost or doubled inside the kernel: neither side may take it for whole. */
  corrupted(slot: number, what: string): void
}

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
  readonly #cells: RelayCells
  readonly #clock: Clock
  readonly #epoll: libc.Epoll
  readonly #pending: PendingBytes
  readonly #maps: LaneMaps
  readonly #relayEvents: number
  readonly #events: LaneEvents
  readonly #buffer = libc.allocate(readBytesMax)
  /** By slot. */
  readonly #placeOf: Int32Array
  /** By slot: it has been in the lane, and what it moved can be counted. */
  readonly #everIn: Uint8Array

  // By place.
  readonly #slot: Int32Array
  readonly #stay: Uint8Array
  /** Why it leaves, in `leaves`. */
  readonly #why: Uint8Array
  /** It moved bytes since `takeActive`. */
  readonly #active: Uint8Array
  readonly #retryAtMs: Float64Array
  /** Whether it stands in `#retries`. */
  readonly #retrying: Uint8Array
  readonly #tries: Uint8Array
  /** Since when redirected bytes are missing; 0: they are not. */
  readonly #stuckSinceMs: Float64Array
  /** Where it stands in `#members`. */
  readonly #memberAt: Int32Array

  // By mark.
  /** The program's count that `#moved` was made of. */
  readonly #seen: Uint32Array
  /** Redirected in this stay. */
  readonly #moved: Float64Array
  /** Of passed bytes, read; modulo 2^32 as the program's count. */
  readonly #read: Uint32Array
  /** What the socket's send queue had been given before this stay. */
  readonly #givenBefore: Float64Array
  readonly #budget: Uint32Array
  /** All that was redirected from it is in the other side's send queue, and no more will be. */
  readonly #ordered: Uint8Array
  /** The peer has sent RST, or the system has given it up. */
  readonly #gone: Uint8Array
  readonly #error: Int32Array

  readonly #free: number[] = []
  #placesUsed = 0
  /** Places in use. */
  readonly #members: number[] = []
  /** Places that leave and are to be looked at again. */
  #retries: number[] = []
  #retriesBefore: number[] = []
  #sweepAtMs = Infinity

  constructor({ table, cells, clock, epoll, pending, maps, relayEvents, events }: KernelLaneParts) {
    this.#table = table
    this.#cells = cells
    this.#clock = clock
    this.#epoll = epoll
    this.#pending = pending
    this.#maps = maps
    this.#relayEvents = relayEvents
    this.#events = events
    const places = maps.placesMax
    this.#placeOf = new Int32Array(table.capacity).fill(none)
    this.#everIn = new Uint8Array(table.capacity)
    this.#slot = new Int32Array(places)
    this.#stay = new Uint8Array(places)
    this.#why = new Uint8Array(places)
    this.#active = new Uint8Array(places)
    this.#retryAtMs = new Float64Array(places)
    this.#retrying = new Uint8Array(places)
    this.#tries = new Uint8Array(places)
    this.#stuckSinceMs = new Float64Array(places)
    this.#memberAt = new Int32Array(places)
    this.#seen = new Uint32Array(2 * places)
    this.#moved = new Float64Array(2 * places)
    this.#read = new Uint32Array(2 * places)
    this.#givenBefore = new Float64Array(2 * places)
    this.#budget = new Uint32Array(2 * places)
    this.#ordered = new Uint8Array(2 * places)
    this.#gone = new Uint8Array(2 * places)
    this.#error = new Int32Array(2 * places)
  }

  holds(slot: number): boolean {
    return this.#placeOf[slot] !== none
  }

  /** Connections that are in it, or about to leave. */
  get size(): number {
    return this.#members.length
  }

  get hasRoom(): boolean {
    return this.#members.length < this.#maps.placesMax
  }

  /** Until something is due, in milliseconds. */
  get waitMs(): number {
    let atMs = this.#sweepAtMs
    // Asked for before each wait, and mostly there are none.
    if (this.#retries.length > 0) for (const place of this.#retries) atMs = Math.min(atMs, this.#retryAtMs[place] ?? 0)
    return Math.max(0, atMs - this.#clock.nowMs)
  }

  /** Into the lane, if it is as quiet as it must be for that. @returns whether it is in */
  enter(slot: number): boolean {
    const [downstream, upstream] = [2 * slot, 2 * slot + 1]
    if (!this.hasRoom || this.holds(slot) || !this.#isQuiet(downstream) || !this.#isQuiet(upstream)) return false
    // Its pipe, which is empty, is others' now.
    for (const token of [downstream, upstream]) this.#pending.discard(token)
    const place = this.#free.pop() ?? this.#placesUsed++
    for (const token of [downstream, upstream]) {
      if (this.#prepare(2 * place + (token & 1), token)) continue
      this.#undo(place, slot)
      return false
    }
    this.#slot[place] = slot
    this.#placeOf[slot] = place
    this.#everIn[slot] = 1
    this.#stay[place] = stay.in
    this.#memberAt[place] = this.#members.length
    this.#members.push(place)
    this.#count(relayCell.kernelLaneEntries, 1)
    this.#count(relayCell.kernelLaneConnections, 1)
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
    this.#lookForBytes(slot)
    return true
  }

  /** Something happened to a descriptor of a connection that it holds. */
  ready(token: number, events: number): void {
    const slot = token >> 1
    const place = this.#placeOf[slot] ?? none
    const ends = (events & allEndEvents) !== 0
    if (ends) this.#table.set(token, tokenBit.readable | tokenBit.ending)
    if ((events & goneEvents) !== 0) this.#gone[2 * place + (token & 1)] = 1
    if (this.#stay[place] === stay.in) {
      if (ends) this.leave(slot, 'ending')
      return
    }
    if ((events & libc.EPOLLOUT) !== 0 && this.#pending.waiting(token ^ 1)) this.#pending.writePending(token ^ 1)
    this.step(slot)
  }

  /** The program has told of a socket: its budget runs out, or it has. */
  noticed(mark: number): void {
    const place = mark >> 1
    if (this.#stay[place] !== stay.in || this.#memberAt[place] === none) return
    if (this.#maps.stopped(mark)) this.leave(this.#slot[place] ?? 0, 'bulky')
    else this.#grant(mark, (this.#slot[place] ?? 0) * 2 + (mark & 1))
  }

  readNotices(): void {
    this.#maps.readNotices(this.#noticed)
  }

  leave(slot: number, why: KernelLaneLeave): void {
    const place = this.#placeOf[slot] ?? none
    if (place === none || this.#stay[place] !== stay.in) return
    this.#stay[place] = stay.leaving
    this.#why[place] = leaves.indexOf(why)
    this.#count(leaveCell[why], 1)
    this.#tries[place] = 0
    this.#stuckSinceMs[place] = 0
    this.#maps.revoke(2 * place)
    this.#maps.revoke(2 * place + 1)
    // What is there already is told of again.
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) this.#epoll.modify(this.#table.fdOf(token), this.#relayEvents, token)
    this.step(slot)
  }

  leaveAll(why: KernelLaneLeave): void {
    for (const place of this.#members.slice()) this.leave(this.#slot[place] ?? 0, why)
  }

  /** Those that moved bytes since `forgetActive`, as far as has been seen: the others cost nobody anything. */
  leaveActive(why: KernelLaneLeave): void {
    for (const place of this.#members.filter((each) => this.#active[each] === 1)) this.leave(this.#slot[place] ?? 0, why)
  }

  get active(): number {
    let active = 0
    for (const place of this.#members) active += this.#active[place] ?? 0
    return active
  }

  forgetActive(): void {
    for (const place of this.#members) this.#active[place] = 0
  }

  /** One that leaves, as far as it gets. */
  step(slot: number): void {
    const place = this.#placeOf[slot] ?? none
    if (place === none || this.#stay[place] !== stay.leaving) return
    const downstream = this.#move(place, 0)
    // It may have ended it.
    const upstream = this.#placeOf[slot] === place && this.#move(place, 1)
    if (this.#placeOf[slot] === place && downstream && upstream) this.#takeOut(place, slot)
  }

  /** Its connection ends now, or is handed to others: out at once, whatever is on its way. */
  release(slot: number): void {
    const place = this.#placeOf[slot] ?? none
    if (place === none) return
    this.#refresh(place, slot)
    this.#removeVerdicts(place)
    this.#forget(place, slot)
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) {
      const fd = this.#table.fdOf(token)
      if (fd !== -1) this.#epoll.modify(fd, this.#relayEvents, token)
    }
  }

  /** A connection begins in this slot. */
  begin(slot: number): void {
    this.#everIn[slot] = 0
  }

  /** Before its deadlines are judged: what it has moved by now counts. */
  look(slot: number): void {
    const place = this.#placeOf[slot] ?? none
    if (place !== none) this.#refresh(place, slot)
  }

  /** At the end of `token`'s stream: whether all that its peer has sent was moved, by whomever. */
  isWhole(token: number): boolean {
    if (this.#everIn[token >> 1] === 0) return true
    const received = libc.receivedBytes(this.#table.fdOf(token))
    return received <= 0 || received - 1 === (this.#table.readBytes[token] ?? 0)
  }

  /** What is due by now. */
  run(): void {
    this.#retry()
    if (this.#clock.nowMs < this.#sweepAtMs) return
    for (let index = this.#members.length - 1; index >= 0; index--) {
      const place = this.#members[index] ?? 0
      const slot = this.#slot[place] ?? 0
      this.#refresh(place, slot)
      // A notice that found no room in the ring.
      if (this.#stay[place] === stay.in && (this.#maps.stopped(2 * place) || this.#maps.stopped(2 * place + 1))) this.leave(slot, 'bulky')
    }
    this.#sweepAtMs = this.#members.length === 0 ? Infinity : this.#clock.nowMs + sweepMs
  }

  readonly #noticed = (mark: number): void => this.noticed(mark)

  #isQuiet(token: number): boolean {
    const table = this.#table
    const quiet = tokenBit.readable | tokenBit.registered | tokenBit.spliced
    return table.state[token >> 1] === slotState.relaying && table.relayBits[token >> 1] === 0 && !this.#pending.waiting(token)
      && table.has(token, tokenBit.registered) && !table.has(token, 0xffff & ~quiet)
  }

  /** All but the program's being run for it. */
  #prepare(mark: number, token: number): boolean {
    const fd = this.#table.fdOf(token)
    const given = libc.givenBytes(fd)
    this.#maps.clear(mark)
    this.#seen[mark] = 0
    this.#moved[mark] = 0
    this.#read[mark] = 0
    this.#ordered[mark] = 0
    this.#gone[mark] = 0
    this.#error[mark] = 0
    this.#givenBefore[mark] = given
    // What a reader that stopped has left in the send queue takes its part of the budget.
    const budget = this.#budgetOf(token) - libc.unacknowledgedBytes(this.#table.fdOf(token ^ 1))
    if (given === -1 || budget < budgetBytesMin) return false
    this.#budget[mark] = budget
    this.#maps.grant(mark, budget, budget >>> 1)
    return this.#maps.name(mark, fd) && this.#maps.addPeer(mark, fd)
  }

  #undo(place: number, slot: number): void {
    for (let side = 0; side <= 1; side++) {
      this.#maps.removePeer(2 * place + side)
      this.#maps.unname(this.#table.fdOf(2 * slot + side))
    }
    this.#free.push(place)
  }

  /** Of what comes from `token`. */
  #budgetOf(token: number): number {
    return Math.min(budgetBytesMax, Math.floor(libc.sendBufferBytes(this.#table.fdOf(token ^ 1)) / budgetOfSendBuffer))
  }

  /** What is left of the budget, once what the other side has acknowledged is taken off. */
  #grant(mark: number, token: number): void {
    const fd = this.#table.fdOf(token ^ 1)
    const redirected = this.#maps.redirected(mark)
    this.#countRedirected(mark, token, redirected)
    // What it had been given before counts as unacknowledged too: the budget is for the whole buffer.
    const unacknowledged = (this.#givenBefore[mark ^ 1] ?? 0) + (this.#moved[mark] ?? 0) - libc.acknowledgedBytes(fd)
    const left = Math.max(0, this.#budgetOf(token) - Math.max(0, unacknowledged))
    this.#maps.grant(mark, redirected + left, left >>> 1)
  }

  /** @returns whether nothing more is to be done for what comes from that side */
  #move(place: number, side: number): boolean {
    const mark = 2 * place + side
    const token = 2 * (this.#slot[place] ?? 0) + side
    const table = this.#table
    const peer = token ^ 1
    // Nobody is left to take it.
    if (this.#isGone(mark ^ 1, peer) || this.#error[mark] !== 0) return true
    if (this.#maps.passed(mark) === (this.#read[mark] ?? 0)) return true
    if (this.#ordered[mark] === 0 && !this.#isOrdered(place, mark, token)) return false
    let turnBytes = 0
    for (;;) {
      const owed = (this.#maps.passed(mark) - (this.#read[mark] ?? 0)) >>> 0
      if (owed === 0) return true
      if (this.#pending.waiting(token)) return false
      if (turnBytes >= turnBytesMax) {
        this.#retryAt(place, this.#clock.nowMs)
        return false
      }
      const received = libc.recv(table.fdOf(token), this.#buffer.address, Math.min(owed, readBytesMax), 0)
      if (received <= 0) return this.#readNothing(place, mark, received === 0 ? 0 : libc.errno())
      this.#read[mark] = (this.#read[mark] ?? 0) + received
      this.#tries[place] = 0
      turnBytes += received
      this.#countRead(token, received)
      if (table.has(peer, tokenBit.broken)) continue
      const sent = libc.send(table.fdOf(peer), this.#buffer.address, received, libc.MSG_NOSIGNAL)
      if (sent !== received && !this.#pending.keepRest(token, sent === -1 ? -libc.errno() : sent, this.#buffer.bytes.subarray(0, received))) return false
    }
  }

  /** Bytes were passed and are not there: still on their way, or the connection is no more. */
  #readNothing(place: number, mark: number, error: number): boolean {
    if (error === 0 || error === libc.EAGAIN || error === libc.EINTR) {
      this.#retryLater(place)
      return false
    }
    this.#error[mark] = error
    return true
  }

  /** Whether all that was redirected from `token` has come to the other side's send queue. */
  #isOrdered(place: number, mark: number, token: number): boolean {
    this.#countRedirected(mark, token, this.#maps.redirected(mark))
    const given = libc.givenBytes(this.#table.fdOf(token ^ 1))
    const missing = (this.#givenBefore[mark ^ 1] ?? 0) + (this.#moved[mark] ?? 0) - given
    if (given !== -1 && missing === 0) {
      this.#ordered[mark] = 1
      this.#stuckSinceMs[place] = 0
      return true
    }
    const { nowMs } = this.#clock
    // A send queue that shrank, as it does where the system is short of memory, takes them once its reader goes on.
    if (this.#stuckSinceMs[place] === 0 || libc.unacknowledgedBytes(this.#table.fdOf(token ^ 1)) > 0) this.#stuckSinceMs[place] = nowMs
    if ((given !== -1 && missing < 0) || nowMs - (this.#stuckSinceMs[place] ?? 0) > stuckMsMax) {
      this.#events.corrupted(token >> 1, `${Math.abs(missing)} bytes ${missing < 0 ? 'too many' : 'are missing'} behind ${this.#moved[mark]} redirected ones`)
      return false
    }
    this.#retryLater(place)
    return false
  }

  /** Nothing passed is left to read. */
  #takeOut(place: number, slot: number): void {
    const [downstream, upstream] = [this.#table.fdOf(2 * slot), this.#table.fdOf(2 * slot + 1)]
    const [downstreamBytes, upstreamBytes] = [libc.receiveBufferBytes(downstream), libc.receiveBufferBytes(upstream)]
    // Each call waits for the packet that is being handled, and the program is not run for the next.
    libc.setIntOption(downstream, libc.SOL_SOCKET, libc.SO_RCVLOWAT, quietLowWaterBytes)
    libc.setIntOption(upstream, libc.SOL_SOCKET, libc.SO_RCVLOWAT, quietLowWaterBytes)
    const isOut = this.#isOut(place, slot)
    if (this.#placeOf[slot] !== place) return
    if (!isOut) {
      this.#lookForBytes(slot)
      this.#retryLater(place)
    }
    // The mark has made room for itself, which a reader that stops would fill.
    for (const [fd, bytes] of [[downstream, downstreamBytes], [upstream, upstreamBytes]] as const) if (libc.receiveBufferBytes(fd) > bytes) libc.resizeReceiveBuffer(fd, bytes)
    if (!isOut) return
    const errors: [number, number] = [this.#error[2 * place] ?? 0, this.#error[2 * place + 1] ?? 0]
    this.#refresh(place, slot)
    // What came for a peer that has gone was thrown away, uncounted.
    if (this.#isGone(2 * place, 2 * slot) || this.#isGone(2 * place + 1, 2 * slot + 1)) this.#everIn[slot] = 0
    this.#forget(place, slot)
    this.#lookForBytes(slot)
    this.#events.left(slot, leaves[this.#why[place] ?? 0] ?? 'ending', errors)
  }

  /** Whether the program is not run for it any more, and has passed nothing that was not read. */
  #isOut(place: number, slot: number): boolean {
    if (!this.#isDone(place, 0) || !this.#isDone(place, 1)) return false
    this.#removeVerdicts(place)
    if (this.#isRead(place, 0) && this.#isRead(place, 1)) return true
    // This thread was held up between the two calls, and so much has come that the program was run: what it passed would be lost with the maps' hold.
    for (let side = 0; side <= 1; side++) this.#maps.addVerdict(2 * place + side, this.#table.fdOf(2 * slot + side))
    return false
  }

  #isDone(place: number, side: number): boolean {
    const mark = 2 * place + side
    const token = 2 * (this.#slot[place] ?? 0) + side
    if (this.#isGone(mark ^ 1, token ^ 1) || this.#error[mark] !== 0) return true
    return this.#isRead(place, side) && (this.#ordered[mark] === 1 || this.#isOrdered(place, mark, token))
  }

  #isRead(place: number, side: number): boolean {
    const mark = 2 * place + side
    const token = 2 * (this.#slot[place] ?? 0) + side
    return this.#isGone(mark ^ 1, token ^ 1) || this.#error[mark] !== 0 || this.#maps.passed(mark) === (this.#read[mark] ?? 0)
  }

  #isGone(mark: number, token: number): boolean {
    return this.#gone[mark] === 1 || this.#table.has(token, tokenBit.broken)
  }

  /** From now on the program, or epoll, is told of each byte; and at once of those that are there. */
  #lookForBytes(slot: number): void {
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) libc.setIntOption(this.#table.fdOf(token), libc.SOL_SOCKET, libc.SO_RCVLOWAT, 1)
  }

  #removeVerdicts(place: number): void {
    this.#maps.removeVerdict(2 * place)
    this.#maps.removeVerdict(2 * place + 1)
  }

  /** The place is free again. */
  #forget(place: number, slot: number): void {
    for (let side = 0; side <= 1; side++) {
      this.#maps.removePeer(2 * place + side)
      this.#maps.unname(this.#table.fdOf(2 * slot + side))
    }
    const last = this.#members.pop() ?? place
    const at = this.#memberAt[place] ?? 0
    if (last !== place) {
      this.#members[at] = last
      this.#memberAt[last] = at
    }
    this.#memberAt[place] = none
    this.#stay[place] = 0
    this.#placeOf[slot] = none
    this.#free.push(place)
    this.#count(relayCell.kernelLaneConnections, -1)
  }

  #refresh(place: number, slot: number): void {
    this.#countRedirected(2 * place, 2 * slot, this.#maps.redirected(2 * place))
    this.#countRedirected(2 * place + 1, 2 * slot + 1, this.#maps.redirected(2 * place + 1))
  }

  #countRedirected(mark: number, token: number, redirected: number): void {
    const more = (redirected - (this.#seen[mark] ?? 0)) >>> 0
    if (more === 0) return
    this.#seen[mark] = redirected
    this.#active[mark >> 1] = 1
    this.#moved[mark] = (this.#moved[mark] ?? 0) + more
    this.#countRead(token, more)
  }

  #countRead(token: number, bytes: number): void {
    this.#table.readBytes[token] = (this.#table.readBytes[token] ?? 0) + bytes
    this.#table.activityMs[token >> 1] = this.#clock.nowMs
    this.#count((token & 1) === 0 ? relayCell.bytesFromDownstream : relayCell.bytesFromUpstream, bytes)
  }

  #count(cell: number, more: number): void {
    this.#cells[cell] = (this.#cells[cell] ?? 0) + more
  }

  #retryLater(place: number): void {
    const tries = this.#tries[place] ?? 0
    this.#tries[place] = Math.min(tries + 1, 31)
    this.#retryAt(place, this.#clock.nowMs + Math.min(retryMsMax, retryMs * 2 ** tries))
  }

  #retryAt(place: number, atMs: number): void {
    this.#retryAtMs[place] = atMs
    if (this.#retrying[place] === 1) return
    this.#retrying[place] = 1
    this.#retries.push(place)
  }

  #retry(): void {
    if (this.#retries.length === 0) return
    const places = this.#retries
    this.#retries = this.#retriesBefore
    this.#retriesBefore = places
    for (const place of places) {
      this.#retrying[place] = 0
      if (this.#stay[place] !== stay.leaving) continue
      if ((this.#retryAtMs[place] ?? 0) > this.#clock.nowMs) this.#retryAt(place, this.#retryAtMs[place] ?? 0)
      else this.step(this.#slot[place] ?? 0)
    }
    places.length = 0
  }
}
