// The last moments of a connection's descriptors: bytes before the RST delivered, an alert read by the client before its
// descriptor goes. Each wait has a bound. A slot whose descriptors are both closed is released.
//
//   close ─▶ closed · reset ─▶ RST at once, or once the peer has acknowledged what it is owed · linger ─▶ alert, FIN, the peer's end

import type { TimerWheel } from '../../core/timer-wheel.ts'
import { alertLingerBytesMax, alertLingerMsMax, alertLingersMax, resetFlushMsMax, unsentBytesSafe } from '../closing-limits.ts'
import { slotState, tokenBit, type ConnectionTable } from './connection-table.ts'
import { allocate, isClosed, recv, setResetOnClose, SHUT_WR, shutdown, unacknowledgedBytes } from './libc.ts'
import type { Clock, PendingBytes } from './pending-bytes.ts'

const resetCheckMs = 64

export interface CloserParts {
  readonly table: ConnectionTable
  readonly wheel: TimerWheel
  readonly clock: Clock
  readonly pending: PendingBytes
  /** At the latest before the worker waits again. */
  readonly closeDescriptor: (fd: number) => void
  /** Its events must be told of from now on. */
  readonly watch: (token: number) => void
  /** Nothing of the slot's connection is open any more. */
  readonly released: (slot: number) => void
}

export class SocketCloser {
  readonly #parts: CloserParts
  readonly #discard = allocate(alertLingerBytesMax)
  #lingers = 0

  constructor(parts: CloserParts) {
    this.#parts = parts
  }

  /** FIN was sent or is not owed. */
  close(token: number): void {
    const { table, pending } = this.#parts
    const fd = table.fdOf(token)
    pending.discard(token ^ 1)
    if (fd === -1) return
    table.setFd(token, -1)
    this.#forget(token)
    this.#parts.closeDescriptor(fd)
  }

  /** RST at once. */
  abort(token: number): void {
    const fd = this.#parts.table.fdOf(token)
    if (fd !== -1) setResetOnClose(fd)
    this.close(token)
  }

  /** RST, after the bytes that were read from the other side before. */
  reset(token: number): void {
    const { table, pending } = this.#parts
    if (table.fdOf(token) === -1) return
    // Who has gone already, told of while nobody could read on, takes nothing more, and is told of no more.
    if ((pending.waiting(token ^ 1) || this.#isOwed(token)) && !isClosed(table.fdOf(token))) table.set(token, tokenBit.resetting)
    else this.abort(token)
  }

  /** FIN; and whatever the client still sends is read and thrown away until it closes. The alert has been written. */
  linger(token: number): void {
    const { table } = this.#parts
    if (this.#lingers >= alertLingersMax) {
      // Closing on bytes that have come already would discard the alert.
      recv(table.fdOf(token), this.#discard.address, alertLingerBytesMax, 0)
      this.close(token)
      return
    }
    shutdown(table.fdOf(token), SHUT_WR)
    this.#lingers += 1
    table.set(token, tokenBit.lingering)
    if (!table.has(token, tokenBit.registered)) this.#parts.watch(token)
  }

  /** Each side has been closed or told how to: the slot waits for what is still open, or is released. */
  settle(slot: number): void {
    const { table, wheel, clock } = this.#parts
    if (this.#isClosed(slot)) {
      this.#release(slot)
      return
    }
    table.state[slot] = slotState.closing
    const lingers = table.has(2 * slot, tokenBit.lingering)
    table.activityMs[slot] = clock.nowMs + (lingers ? alertLingerMsMax : resetFlushMsMax)
    wheel.set(slot, clock.nowMs + (lingers ? alertLingerMsMax : resetCheckMs))
  }

  /** Something happened to a descriptor of a closing slot. */
  ready(token: number, gone: boolean): void {
    const { table, pending } = this.#parts
    if (table.fdOf(token) === -1) return
    if (gone) this.close(token)
    else if (table.has(token, tokenBit.lingering)) this.#readLingering(token)
    else if (pending.writePending(token ^ 1)) this.#resetIfTaken(token)
    this.#releaseIfClosed(token >> 1)
  }

  /** The time of a closing slot has come. */
  due(slot: number): void {
    const { table, wheel, clock } = this.#parts
    const late = clock.nowMs >= (table.activityMs[slot] ?? 0)
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) {
      if (table.fdOf(token) === -1) continue
      if (!late) this.#resetIfTaken(token)
      else if (table.has(token, tokenBit.lingering)) this.close(token)
      else this.abort(token)
    }
    if (!this.#releaseIfClosed(slot)) wheel.set(slot, clock.nowMs + resetCheckMs)
  }

  /** Now, whatever they are owed. */
  abortSlot(slot: number): void {
    this.abort(2 * slot)
    this.abort(2 * slot + 1)
    this.#release(slot)
  }

  #resetIfTaken(token: number): void {
    const { table, pending } = this.#parts
    if (table.has(token, tokenBit.resetting) && !pending.waiting(token ^ 1) && unacknowledgedBytes(table.fdOf(token)) === 0) this.abort(token)
  }

  /** A RST discards what the peer has not acknowledged yet. */
  #isOwed(token: number): boolean {
    const { table } = this.#parts
    return (table.readBytes[token ^ 1] ?? 0) > unsentBytesSafe && unacknowledgedBytes(table.fdOf(token)) > 0
  }

  #readLingering(token: number): void {
    const { table } = this.#parts
    const received = recv(table.fdOf(token), this.#discard.address, alertLingerBytesMax, 0)
    if (received === 0 || received === alertLingerBytesMax) this.close(token)
  }

  #forget(token: number): void {
    const { table } = this.#parts
    if (table.has(token, tokenBit.lingering)) this.#lingers -= 1
    table.clear(token, tokenBit.lingering | tokenBit.resetting)
  }

  #isClosed(slot: number): boolean {
    return this.#parts.table.fdOf(2 * slot) === -1 && this.#parts.table.fdOf(2 * slot + 1) === -1
  }

  #releaseIfClosed(slot: number): boolean {
    if (!this.#isClosed(slot)) return false
    this.#release(slot)
    return true
  }

  #release(slot: number): void {
    this.#parts.pending.discard(2 * slot)
    this.#parts.pending.discard(2 * slot + 1)
    this.#parts.wheel.clear(slot)
    this.#parts.released(slot)
    this.#parts.table.release(slot)
  }
}
