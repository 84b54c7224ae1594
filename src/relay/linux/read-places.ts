// Memory that clients in set-up are read into. A hello stays where it was read until its connection is relayed or has ended, so it is
// copied neither when it comes nor when it goes on; whoever comes while too many hellos stay is read and then copied.
//
//   take ─▶ recv ─▶ give back                    what was read is copied first
//              └──▶ keep, for a slot ─▶ release

import * as libc from './libc.ts'

/** Of one read. With what is kept for a further attempt (`replayBytesMax`) it must fit a block. */
export const readBytesMax = 16 * 1024
/** All are read before the first is looked at. */
export const readsTogetherMax = 8
/** Hellos that stay where they were read. */
const keptMax = 24
const placesMax = keptMax + readsTogetherMax

export class ReadPlaces {
  readonly #memory = libc.allocate(placesMax * readBytesMax)
  /** The one that was given back last is taken first: it is warm, and the others' memory is never touched on a worker with little to do. */
  readonly #free = Uint8Array.from({ length: placesMax }, (_, place) => placesMax - 1 - place)
  #frees = placesMax
  /** By slot: the place plus one, or 0. */
  readonly #kept: Uint8Array
  /** By place: what a slot keeps there. */
  readonly #bytes: (Uint8Array | undefined)[] = Array.from({ length: placesMax }, () => undefined)

  constructor(slots: number) {
    this.#kept = new Uint8Array(slots)
  }

  /** At most `readsTogetherMax` of them are neither kept nor given back at one time. */
  take(): number {
    this.#frees -= 1
    return this.#free[this.#frees] ?? 0
  }

  giveBack(place: number): void {
    this.#bytes[place] = undefined
    this.#free[this.#frees] = place
    this.#frees += 1
  }

  addressOf(place: number): number {
    return this.#memory.address + place * readBytesMax
  }

  /** Good until the place is given back. */
  read(place: number, byteLength: number): Uint8Array {
    return this.#memory.bytes.subarray(place * readBytesMax, place * readBytesMax + byteLength)
  }

  /** @returns whether it is the slot's from now on, until `release` */
  keep(slot: number, place: number, bytes: Uint8Array): boolean {
    if (this.#kept[slot] !== 0 || this.#frees < readsTogetherMax) return false
    this.#kept[slot] = place + 1
    this.#bytes[place] = bytes
    return true
  }

  /** @returns where they are, if that is where the slot keeps them; else 0 */
  addressIfKept(slot: number, bytes: Uint8Array): number {
    const place = (this.#kept[slot] ?? 0) - 1
    return place !== -1 && this.#bytes[place] === bytes ? this.addressOf(place) : 0
  }

  release(slot: number): void {
    const place = (this.#kept[slot] ?? 0) - 1
    if (place === -1) return
    this.#kept[slot] = 0
    this.giveBack(place)
  }
}
