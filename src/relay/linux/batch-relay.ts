// Directions that become readable together are read together, and written together, with one system call each (BatchRing),
// where the system has io_uring; else one after the other.
//
//   token, token, … ─▶ recv, recv, … ─▶ send, send, … ─▶ what is left of each: nothing, more to read, an end, bytes that wait

import type { BatchRing } from './batch-ring.ts'
import type { ByteRelay } from './byte-relay.ts'
import { slotState, tokenBit, type ConnectionTable } from './connection-table.ts'
import { allocate, type NativeMemory } from './libc.ts'
import { NumberList } from './number-list.ts'
import type { PendingBytes } from './pending-bytes.ts'

/** Directions for which reading and writing together pays. */
const batchMin = 4
/** Operations of one system call. */
export const batchMax = 256
/** What one read of a batch may bring; a direction that has more goes on by itself. */
const batchReadBytes = 16 * 1024

export interface BatchRelayParts {
  readonly table: ConnectionTable
  readonly bytes: ByteRelay
  readonly pending: PendingBytes
  /** Of `batchMax` operations; absent: one system call for each. */
  readonly ring: BatchRing | undefined
}

export class BatchRelay {
  readonly #table: ConnectionTable
  readonly #bytes: ByteRelay
  readonly #pending: PendingBytes
  readonly #ring: BatchRing | undefined
  readonly #memory: NativeMemory | undefined
  /** Tokens that are to be pumped. */
  readonly #tokens = new NumberList()
  /** Of the batch in hand: the token, or -1 when it is done with; and what was read from it, or an errno below 0. */
  readonly #reading = new Int32Array(batchMax)
  readonly #received = new Int32Array(batchMax)
  /** Its place among the sends, or -1. */
  readonly #operation = new Int16Array(batchMax)

  constructor({ table, bytes, pending, ring }: BatchRelayParts) {
    this.#table = table
    this.#bytes = bytes
    this.#pending = pending
    this.#ring = ring
    this.#memory = ring === undefined ? undefined : allocate(batchMax * batchReadBytes)
  }

  /** To be pumped with others, when `pump` is called; once, however often it is asked for: two reads in one batch would pass each other's rest. */
  add(token: number): void {
    if (this.#table.has(token, tokenBit.gathered)) return
    this.#table.set(token, tokenBit.gathered)
    this.#tokens.push(token)
  }

  pump(): void {
    const tokens = this.#tokens
    if (tokens.length === 0) return
    const ring = this.#ring
    const memory = this.#memory
    if (ring === undefined || memory === undefined || tokens.length < batchMin) {
      for (let index = 0; index < tokens.length; index++) {
        const token = tokens.at(index)
        this.#table.clear(token, tokenBit.gathered)
        if (this.#table.state[token >> 1] === slotState.relaying) this.#bytes.pump(token)
      }
    } else {
      for (let from = 0; from < tokens.length; from += batchMax) this.#pumpTogether(ring, memory, from, Math.min(tokens.length, from + batchMax))
    }
    tokens.clear()
  }

  #pumpTogether(ring: BatchRing, memory: NativeMemory, from: number, to: number): void {
    const table = this.#table
    const count = this.#read(ring, memory, from, to)
    this.#write(ring, memory, count)
    for (let index = 0; index < count; index++) {
      const token = this.#reading[index] ?? 0
      // One that was handled before may have ended it.
      if (token !== -1 && table.state[token >> 1] === slotState.relaying) this.#goOn(token, this.#received[index] ?? 0)
    }
    for (let index = from; index < to; index++) {
      const token = this.#tokens.at(index)
      if (table.state[token >> 1] === slotState.relaying && table.has(token, tokenBit.spliced)) this.#bytes.pump(token)
    }
  }

  /** @returns how many directions were read */
  #read(ring: BatchRing, { address }: NativeMemory, from: number, to: number): number {
    const table = this.#table
    let count = 0
    for (let index = from; index < to; index++) {
      const token = this.#tokens.at(index)
      table.clear(token, tokenBit.gathered)
      if (table.state[token >> 1] !== slotState.relaying || (table.pending[token] ?? 0) !== 0) continue
      ring.addRecv(table.fdOf(token), address + count * batchReadBytes, batchReadBytes)
      this.#reading[count++] = token
    }
    ring.submit()
    for (let index = 0; index < count; index++) this.#received[index] = ring.results[index] ?? 0
    return count
  }

  #write(ring: BatchRing, { address, bytes }: NativeMemory, count: number): void {
    const table = this.#table
    let sends = 0
    for (let index = 0; index < count; index++) {
      const received = this.#received[index] ?? 0
      const peer = (this.#reading[index] ?? 0) ^ 1
      const isSent = received > 0 && !table.has(peer, tokenBit.broken)
      if (isSent) ring.addSend(table.fdOf(peer), address + index * batchReadBytes, received)
      this.#operation[index] = isSent ? sends++ : -1
    }
    ring.submit()
    for (let index = 0; index < count; index++) {
      const token = this.#reading[index] ?? 0
      const received = this.#received[index] ?? 0
      if (received <= 0) continue
      this.#bytes.countRead(token, received)
      const operation = this.#operation[index] ?? -1
      if (operation === -1) continue
      const sent = ring.results[operation] ?? 0
      if (sent === received) continue
      const at = index * batchReadBytes
      // Not read on: the rest of what it has waits for the other side.
      if (!this.#pending.keepRest(token, sent, bytes.subarray(at, at + received))) this.#reading[index] = -1
    }
  }

  #goOn(token: number, received: number): void {
    if (received <= 0) {
      this.#bytes.readNothing(token, -received)
    } else if (received < batchReadBytes && !this.#table.has(token, tokenBit.ending)) {
      this.#bytes.emptied(token)
    } else {
      this.#bytes.pump(token)
    }
  }
}
