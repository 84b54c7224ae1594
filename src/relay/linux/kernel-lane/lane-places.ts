// Who is in the kernel lane, or on the way out, and what was moved for them: arrays by place, and by mark, which is 2 × place, plus
// one for the upstream side. Slots and tokens are those of the connection table.

import type { KernelLaneLeave } from '../../../core/kernel-lane-policy.ts'
import { relayCell, type RelayCells } from '../../../core/relay-cells.ts'
import { tokenBit, type ConnectionTable } from '../connection-table.ts'
import * as libc from '../libc.ts'
import type { Clock } from '../pending-bytes.ts'
import type { LaneMaps } from './lane-maps.ts'

export const stay = { in: 1, leaving: 2 } as const
/** In column `why`. */
const leaves: readonly KernelLaneLeave[] = ['bulky', 'ending', 'saturated']
const leaveCell: Readonly<Record<KernelLaneLeave, number>> = { bulky: relayCell.kernelLaneLeavesBulky, ending: relayCell.kernelLaneLeavesEnding, saturated: relayCell.kernelLaneLeavesSaturated }
/** A slot's place, where it has none. */
export const none = -1

export interface LanePlacesParts {
  readonly table: ConnectionTable
  readonly cells: RelayCells
  readonly clock: Clock
  readonly maps: LaneMaps
}

export class LanePlaces {
  /** In use. */
  readonly members: number[] = []
  /** By slot: it has been in the lane, and what it moved can be counted. */
  readonly everIn: Uint8Array

  // By place.
  readonly slot: Int32Array
  /** 0: it is free. */
  readonly stay: Uint8Array
  /** It moved bytes since `forgetActive`, as far as has been seen. */
  readonly active: Uint8Array

  // By mark.
  /** Redirected in this stay. */
  readonly moved: Float64Array
  /** Of passed bytes, read; modulo 2^32 as the program's count. */
  readonly read: Uint32Array
  /** What the socket's send queue had been given before this stay. */
  readonly givenBefore: Float64Array
  /** The peer has sent RST, or the system has given it up. */
  readonly gone: Uint8Array

  readonly #parts: LanePlacesParts
  /** By slot. */
  readonly #placeOf: Int32Array
  /** By place: why it leaves, in `leaves`. */
  readonly #why: Uint8Array
  /** By place: where it stands in `members`. */
  readonly #memberAt: Int32Array
  /** By mark: the program's count that `moved` was made of. */
  readonly #seen: Uint32Array
  readonly #free: number[] = []
  #used = 0

  constructor(parts: LanePlacesParts) {
    const { table: { capacity }, maps: { placesMax } } = parts
    this.#parts = parts
    this.#placeOf = new Int32Array(capacity).fill(none)
    this.everIn = new Uint8Array(capacity)
    this.slot = new Int32Array(placesMax)
    this.stay = new Uint8Array(placesMax)
    this.active = new Uint8Array(placesMax)
    this.#why = new Uint8Array(placesMax)
    this.#memberAt = new Int32Array(placesMax)
    this.#seen = new Uint32Array(2 * placesMax)
    this.moved = new Float64Array(2 * placesMax)
    this.read = new Uint32Array(2 * placesMax)
    this.givenBefore = new Float64Array(2 * placesMax)
    this.gone = new Uint8Array(2 * placesMax)
  }

  /** @returns `none` where it is not in the lane */
  placeOf(slot: number): number {
    return this.#placeOf[slot] ?? none
  }

  get hasRoom(): boolean {
    return this.members.length < this.#parts.maps.placesMax
  }

  /** For a connection that may yet fail to enter. @returns a place, which is the caller's until `add` or `giveBack` */
  take(): number {
    return this.#free.pop() ?? this.#used++
  }

  /** Its stay begins. */
  clear(mark: number, givenBefore: number, next: number): void {
    this.#parts.maps.clear(mark, next)
    this.#seen[mark] = 0
    this.moved[mark] = 0
    this.read[mark] = 0
    this.gone[mark] = 0
    this.givenBefore[mark] = givenBefore
  }

  giveBack(place: number, slot: number): void {
    this.#unname(place, slot)
    this.#free.push(place)
  }

  add(place: number, slot: number): void {
    this.slot[place] = slot
    this.#placeOf[slot] = place
    this.everIn[slot] = 1
    this.stay[place] = stay.in
    this.#memberAt[place] = this.members.length
    this.members.push(place)
    this.#count(relayCell.kernelLaneEntries, 1)
    this.#count(relayCell.kernelLaneConnections, 1)
  }

  beginLeaving(place: number, why: KernelLaneLeave): void {
    this.stay[place] = stay.leaving
    this.#why[place] = leaves.indexOf(why)
    this.#count(leaveCell[why], 1)
  }

  whyOf(place: number): KernelLaneLeave {
    return leaves[this.#why[place] ?? 0] ?? 'ending'
  }

  /** Both sockets are out of the maps that the program looks at; the place is free again. */
  remove(place: number, slot: number): void {
    this.#unname(place, slot)
    const last = this.members.pop() ?? place
    const at = this.#memberAt[place] ?? 0
    if (last !== place) {
      this.members[at] = last
      this.#memberAt[last] = at
    }
    this.stay[place] = 0
    this.#placeOf[slot] = none
    this.#free.push(place)
    this.#count(relayCell.kernelLaneConnections, -1)
  }

  isGone(mark: number, token: number): boolean {
    return this.gone[mark] === 1 || this.#parts.table.has(token, tokenBit.broken)
  }

  /** From now on the program, or epoll, is told of each byte; and at once of those that are there. */
  lookForBytes(slot: number): void {
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) libc.setIntOption(this.#parts.table.fdOf(token), libc.SOL_SOCKET, libc.SO_RCVLOWAT, 1)
  }

  /** What it has moved by now counts. */
  refresh(place: number, slot: number): void {
    const { maps } = this.#parts
    this.countRedirected(2 * place, 2 * slot, maps.redirected(2 * place))
    this.countRedirected(2 * place + 1, 2 * slot + 1, maps.redirected(2 * place + 1))
  }

  countRedirected(mark: number, token: number, redirected: number): void {
    const more = (redirected - (this.#seen[mark] ?? 0)) >>> 0
    if (more === 0) return
    this.#seen[mark] = redirected
    this.active[mark >> 1] = 1
    this.moved[mark] = (this.moved[mark] ?? 0) + more
    this.countRead(token, more)
  }

  countRead(token: number, bytes: number): void {
    const { table, clock } = this.#parts
    table.readBytes[token] = (table.readBytes[token] ?? 0) + bytes
    table.activityMs[token >> 1] = clock.nowMs
    this.#count((token & 1) === 0 ? relayCell.bytesFromDownstream : relayCell.bytesFromUpstream, bytes)
  }

  #unname(place: number, slot: number): void {
    const { table, maps } = this.#parts
    for (let side = 0; side <= 1; side++) {
      maps.removePeer(2 * place + side)
      maps.unname(table.fdOf(2 * slot + side))
    }
  }

  #count(cell: number, more: number): void {
    const { cells } = this.#parts
    cells[cell] = (cells[cell] ?? 0) + more
  }
}
