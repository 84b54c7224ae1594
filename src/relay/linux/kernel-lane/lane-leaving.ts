// How a connection leaves the kernel lane, once the program redirects nothing more for it:
//
//   1. What comes goes to the socket's own queue ("passed").
//   2. What was redirected is in the other side's send queue: until then passed bytes, or FIN, would overtake it.
//   3. Passed bytes are read and sent on, with the backpressure of the epoll relay.
//   4. Nothing passed is left: with the receive low-water mark up, so that the program is not run, that is looked at once
//      more, and both sockets are taken out of the maps. What has come meanwhile waits in the socket for the epoll relay.
//
// A packet for which the program is run while its socket is taken out is thrown away by the kernel, and acknowledged. The
// mark alone does not keep it from that: a thread may be off its core between two calls, for as long as it takes to send
// more. So a socket filter lets in no more than the mark holds back, for the moment: the rest is as if lost on its way.

import type { KernelLaneLeave } from '../../../core/kernel-lane-policy.ts'
import { tokenBit, type ConnectionTable } from '../connection-table.ts'
import * as libc from '../libc.ts'
import type { Clock, PendingBytes } from '../pending-bytes.ts'
import type { LaneMaps } from './lane-maps.ts'
import { none, stay, type LanePlaces } from './lane-places.ts'
import { programFault } from './program.ts'

/** What one read of a connection that leaves may bring, and what it may move before the others have their turn. */
const readBytesMax = 64 * 1024
const turnBytesMax = 256 * 1024
/** A connection that leaves and waits for the kernel is looked at after 1, 2, 4 … of these. */
const retryMs = 1
const retryMsMax = 64
/** So often it is waited for what is missing before bytes that came out of turn: a second and a half, and longer while others are moved. Then their count is what tells of a loss. */
const outOfTurnTriesMax = 30
/** Redirected bytes that are in nobody's send queue for so long, though that is empty, are lost. */
const stuckMsMax = 5_000
/** Over it the program is run though nobody is to be told. */
const quietLowWaterBytes = 1024 * 1024
/** Of the mark, what may come meanwhile: the rest is for what the system adds to a packet, which must not fill the receive buffer. */
const roomOfMark = 2
/** With no more than one left in the window the program is run under the mark too (tcp_epollin_ready in the kernel); and what was told of the window may be some segments old. */
const segmentsKept = 8
/** A worker of the kernel that has just moved the last bytes may still hold the socket: newer kernels then don't tell what is unread. It is waited for. */
const takenLooksMax = 20
const takenPauseMs = 1
const pauseCell = new Int32Array(new SharedArrayBuffer(4))

const faultNames: Readonly<Record<number, string>> = {
  [programFault.gap]: 'a packet that is not the next one',
  [programFault.unknownPacket]: 'a packet that has other numbers than its length',
  [programFault.notCut]: 'a packet of which could not be cut off what was moved already',
}

export interface LaneEvents {
  /** It is out again: the epoll relay reads both sides. @param errors by side: what a read that ended it has told, or 0 */
  left(slot: number, why: KernelLaneLeave, errors: readonly [number, number]): void
  /** Bytes were lost or doubled inside the kernel: neither side may take it for whole. */
  corrupted(slot: number, what: string): void
}

export interface LaneLeavingParts {
  readonly table: ConnectionTable
  readonly clock: Clock
  readonly pending: PendingBytes
  readonly maps: LaneMaps
  readonly places: LanePlaces
  readonly events: LaneEvents
}

export class LaneLeaving {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  readonly #pending: PendingBytes
  readonly #maps: LaneMaps
  readonly #places: LanePlaces
  readonly #events: LaneEvents
  readonly #buffer = libc.allocate(readBytesMax)

  // By place.
  readonly #retryAtMs: Float64Array
  /** Whether it stands in `#retries`. */
  readonly #retrying: Uint8Array
  readonly #tries: Uint8Array
  /** Since when redirected bytes are missing; 0: they are not. */
  readonly #stuckSinceMs: Float64Array

  // By mark.
  /** All that was redirected from it is in the other side's send queue, and no more will be. */
  readonly #ordered: Uint8Array
  readonly #error: Int32Array

  /** Places that leave and are to be looked at again. */
  #retries: number[] = []
  #retriesBefore: number[] = []
  /** What may come to a socket while it is taken out. */
  #roomBytesMax = quietLowWaterBytes / roomOfMark

  constructor({ table, clock, pending, maps, places, events }: LaneLeavingParts) {
    this.#table = table
    this.#clock = clock
    this.#pending = pending
    this.#maps = maps
    this.#places = places
    this.#events = events
    const { placesMax } = maps
    this.#retryAtMs = new Float64Array(placesMax)
    this.#retrying = new Uint8Array(placesMax)
    this.#tries = new Uint8Array(placesMax)
    this.#stuckSinceMs = new Float64Array(placesMax)
    this.#ordered = new Uint8Array(2 * placesMax)
    this.#error = new Int32Array(2 * placesMax)
  }

  /** When one is due to be looked at again; Infinity: none. */
  get dueAtMs(): number {
    let atMs = Infinity
    // Asked for before each wait, and mostly there are none.
    if (this.#retries.length > 0) for (const place of this.#retries) atMs = Math.min(atMs, this.#retryAtMs[place] ?? 0)
    return atMs
  }

  begin(place: number, why: KernelLaneLeave): void {
    this.#places.beginLeaving(place, why)
    this.#tries[place] = 0
    this.#stuckSinceMs[place] = 0
    for (let mark = 2 * place; mark <= 2 * place + 1; mark++) {
      this.#ordered[mark] = 0
      this.#error[mark] = 0
      this.#maps.revoke(mark)
    }
  }

  /** One that leaves, as far as it gets. */
  step(slot: number): void {
    const place = this.#places.placeOf(slot)
    if (place === none || this.#places.stay[place] !== stay.leaving) return
    if (this.#isFaulty(slot, 2 * place) || this.#isFaulty(slot, 2 * place + 1)) return
    const downstream = this.#move(place, 0)
    // It may have ended it.
    const upstream = this.#places.placeOf(slot) === place && this.#move(place, 1)
    if (this.#places.placeOf(slot) === place && downstream && upstream) this.#takeOut(place, slot)
  }

  /** Those that are due by now. */
  retry(): void {
    if (this.#retries.length === 0) return
    const places = this.#retries
    this.#retries = this.#retriesBefore
    this.#retriesBefore = places
    for (const place of places) {
      this.#retrying[place] = 0
      if (this.#places.stay[place] !== stay.leaving) continue
      if ((this.#retryAtMs[place] ?? 0) > this.#clock.nowMs) this.#retryAt(place, this.#retryAtMs[place] ?? 0)
      else this.step(this.#places.slot[place] ?? 0)
    }
    places.length = 0
  }

  /** @returns whether nothing more is to be done for what comes from that side */
  #move(place: number, side: number): boolean {
    const mark = 2 * place + side
    const token = 2 * (this.#places.slot[place] ?? 0) + side
    const table = this.#table
    const peer = token ^ 1
    if (this.#isRead(place, side)) return true
    if (this.#ordered[mark] === 0 && !this.#isOrdered(place, mark, token)) return false
    let turnBytes = 0
    for (;;) {
      const owed = (this.#maps.passed(mark) - (this.#places.read[mark] ?? 0)) >>> 0
      if (owed === 0) return true
      if (this.#pending.waiting(token)) return false
      if (turnBytes >= turnBytesMax) {
        this.#retryAt(place, this.#clock.nowMs)
        return false
      }
      const received = libc.recv(table.fdOf(token), this.#buffer.address, Math.min(owed, readBytesMax), 0)
      if (received <= 0) return this.#readNothing(place, mark, received === 0 ? 0 : libc.errno())
      // After RST the kernel throws away what was passed, and what came behind it would be taken for that.
      if (libc.isClosed(table.fdOf(token))) return this.#readNothing(place, mark, libc.getIntOption(table.fdOf(token), libc.SOL_SOCKET, libc.SO_ERROR) || libc.ECONNRESET)
      if (this.#isFaulty(token >> 1, mark)) return false
      this.#places.read[mark] = (this.#places.read[mark] ?? 0) + received
      this.#tries[place] = 0
      turnBytes += received
      this.#places.countRead(token, received)
      if (table.has(peer, tokenBit.broken)) continue
      const sent = libc.send(table.fdOf(peer), this.#buffer.address, received, libc.MSG_NOSIGNAL)
      if (sent !== received && !this.#pending.keepRest(token, sent === -1 ? -libc.errno() : sent, this.#buffer.bytes.subarray(0, received))) return false
    }
  }

  /** Whether the program has passed what must go to nobody. */
  #isFaulty(slot: number, mark: number): boolean {
    const fault = this.#maps.fault(mark)
    if (fault === 0 || this.#isMoot(mark, 2 * slot + (mark & 1))) return false
    const { ahead, byteLength } = this.#maps.faultyPacket(mark)
    const before = `${this.#maps.redirected(mark)} were redirected and ${this.#places.read[mark]} passed bytes read`
    this.#events.corrupted(slot, `the program was given ${faultNames[fault] ?? 'something unknown'}: ${byteLength} bytes, ${ahead} above the next, ${(mark & 1) === 0 ? 'downstream' : 'upstream'}; in this stay ${before}, and it leaves as ${this.#places.whyOf(mark >> 1)}`)
    return true
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
    this.#places.countRedirected(mark, token, this.#maps.redirected(mark))
    const given = libc.givenBytes(this.#table.fdOf(token ^ 1))
    const missing = (this.#places.givenBefore[mark ^ 1] ?? 0) + (this.#places.moved[mark] ?? 0) - given
    if (given !== -1 && missing === 0) {
      this.#ordered[mark] = 1
      this.#stuckSinceMs[place] = 0
      return true
    }
    const { nowMs } = this.#clock
    // A send queue that shrank, as it does where the system is short of memory, takes them once its reader goes on.
    if (this.#stuckSinceMs[place] === 0 || libc.unacknowledgedBytes(this.#table.fdOf(token ^ 1)) > 0) this.#stuckSinceMs[place] = nowMs
    if ((given !== -1 && missing < 0) || nowMs - (this.#stuckSinceMs[place] ?? 0) > stuckMsMax) {
      this.#events.corrupted(token >> 1, `${Math.abs(missing)} bytes ${missing < 0 ? 'too many' : 'are missing'} behind ${this.#places.moved[mark]} redirected ones`)
      return false
    }
    this.#retryLater(place)
    return false
  }

  /** Nothing passed is left to read. */
  #takeOut(place: number, slot: number): void {
    // Each try may lose what comes meanwhile, so there is none before it can succeed.
    if (!this.#isDone(place, 0) || !this.#isDone(place, 1) || !this.#isInTurn(place)) {
      if (this.#places.placeOf(slot) === place && this.#retrying[place] === 0) this.#retryLater(place)
      return
    }
    // Where nothing was passed yet the program may be about to redirect a last packet.
    for (let mark = 2 * place; mark <= 2 * place + 1; mark++) if (!this.#maps.stopped(mark)) this.#ordered[mark] = 0
    const [downstream, upstream] = [this.#table.fdOf(2 * slot), this.#table.fdOf(2 * slot + 1)]
    const [downstreamBytes, upstreamBytes] = [libc.receiveBufferBytes(downstream), libc.receiveBufferBytes(upstream)]
    // FIN, and what there is no room for, comes a little later.
    for (const [side, fd] of [downstream, upstream].entries()) this.#maps.lose(2 * place + side, fd, Math.min(this.#roomBytesMax, libc.receiveWindowBeyond(fd, segmentsKept)))
    const isQuiet = this.#isInTurn(place) && this.#raiseMark(downstream) && this.#raiseMark(upstream)
    const isOut = this.#isOut(place, slot, isQuiet)
    if (this.#places.placeOf(slot) !== place) return
    if (!isOut) {
      this.#places.lookForBytes(slot)
      this.#retryLater(place)
    }
    // The mark has made room for itself, which a reader that stops would fill.
    for (const [fd, bytes] of [[downstream, downstreamBytes], [upstream, upstreamBytes]] as const) if (libc.receiveBufferBytes(fd) > bytes) libc.resizeReceiveBuffer(fd, bytes)
    if (!isOut) return
    const errors: [number, number] = [this.#errorOf(2 * place, 2 * slot), this.#errorOf(2 * place + 1, 2 * slot + 1)]
    this.#places.refresh(place, slot)
    // What came for a peer that has gone was thrown away, uncounted.
    if (this.#places.isGone(2 * place, 2 * slot) || this.#places.isGone(2 * place + 1, 2 * slot + 1)) this.#places.everIn[slot] = 0
    this.#places.remove(place, slot)
    if (!this.#isWhole(slot)) return
    this.#places.lookForBytes(slot)
    this.#events.left(slot, this.#places.whyOf(place), errors)
  }

  /** What came out of turn takes no room any more: with it a packet that is let in would bring more than the mark holds back, or FIN. */
  #isInTurn(place: number): boolean {
    if ((this.#tries[place] ?? 0) >= outOfTurnTriesMax) return true
    for (let side = 0; side <= 1; side++) {
      const token = 2 * (this.#places.slot[place] ?? 0) + side
      if (!this.#isMoot(2 * place + side, token) && libc.holdsBytes(this.#table.fdOf(token))) return false
    }
    return true
  }

  /** It waits for the packet that is being handled, and the program is not run for the next. @returns whether all there is room for is below it */
  #raiseMark(fd: number): boolean {
    libc.setIntOption(fd, libc.SOL_SOCKET, libc.SO_RCVLOWAT, quietLowWaterBytes)
    // The system takes no more than half of what tcp_rmem lets a receive buffer have.
    const roomBytes = Math.floor(libc.getIntOption(fd, libc.SOL_SOCKET, libc.SO_RCVLOWAT) / roomOfMark)
    const isHighEnough = roomBytes >= this.#roomBytesMax
    if (!isHighEnough) this.#roomBytesMax = roomBytes
    return isHighEnough
  }

  /** What was taken out of its receive queues is what was moved. Asked once it is out of all maps: before, newer kernels don't tell what is unread. */
  #isWhole(slot: number): boolean {
    if (this.#places.everIn[slot] === 0) return true
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) {
      const moved = this.#table.readBytes[token] ?? 0
      const fd = this.#table.fdOf(token)
      let taken = libc.takenBytes(fd)
      for (let look = 0; look < takenLooksMax && taken !== -1 && taken !== moved; look++) {
        Atomics.wait(pauseCell, 0, 0, takenPauseMs)
        taken = libc.takenBytes(fd)
      }
      if (taken === -1 || taken === moved) continue
      this.#events.corrupted(slot, `${taken} bytes came, and ${moved} were moved`)
      return false
    }
    return true
  }

  /** Whether the program is not run for it any more, and has passed nothing that was not read. Nothing is lost on its way from then on. */
  #isOut(place: number, slot: number, isQuiet: boolean): boolean {
    const isDone = isQuiet && this.#isDone(place, 0) && this.#isDone(place, 1)
    if (isDone) {
      for (let side = 0; side <= 1; side++) this.#discardMoot(2 * place + side, 2 * slot + side)
      this.#maps.removeVerdicts(place)
    }
    // Each call waits for the packet that is being handled: what the program has passed is known only then.
    for (let side = 0; side <= 1; side++) this.#maps.loseNothing(this.#table.fdOf(2 * slot + side))
    if (!isDone || (this.#isRead(place, 0) && this.#isRead(place, 1))) return isDone
    // The system was short of memory, and the program was run: what it passed would be lost with the maps' hold.
    for (let side = 0; side <= 1; side++) this.#maps.addVerdict(2 * place + side, this.#table.fdOf(2 * slot + side))
    return false
  }

  /** What was passed and nobody is left to take: thrown away with the map's hold, it would be missing from the kernel's own count, which then warns. */
  #discardMoot(mark: number, token: number): void {
    if (!this.#isMoot(mark, token)) return
    for (let owed = (this.#maps.passed(mark) - (this.#places.read[mark] ?? 0)) >>> 0; owed > 0;) {
      const received = libc.recv(this.#table.fdOf(token), this.#buffer.address, Math.min(owed, readBytesMax), 0)
      if (received <= 0) return
      this.#places.read[mark] = (this.#places.read[mark] ?? 0) + received
      owed -= received
    }
  }

  #isDone(place: number, side: number): boolean {
    const mark = 2 * place + side
    const token = 2 * (this.#places.slot[place] ?? 0) + side
    return this.#isMoot(mark, token) || (this.#isRead(place, side) && (this.#ordered[mark] === 1 || this.#isOrdered(place, mark, token)))
  }

  #isRead(place: number, side: number): boolean {
    const mark = 2 * place + side
    const token = 2 * (this.#places.slot[place] ?? 0) + side
    return this.#isMoot(mark, token) || this.#maps.passed(mark) === (this.#places.read[mark] ?? 0)
  }

  /** Nobody is left to take what comes from `token`, or no more can be read. */
  #isMoot(mark: number, token: number): boolean {
    return this.#places.isGone(mark ^ 1, token ^ 1) || this.#error[mark] !== 0
  }

  /** Of a peer that has gone it is told at once: what the other one sends would be read where the kernel's count lacks what was passed and thrown away, and it warns. */
  #errorOf(mark: number, token: number): number {
    const error = this.#error[mark] ?? 0
    return error === 0 && this.#places.isGone(mark, token) ? libc.getIntOption(this.#table.fdOf(token), libc.SOL_SOCKET, libc.SO_ERROR) || libc.ECONNRESET : error
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
}
