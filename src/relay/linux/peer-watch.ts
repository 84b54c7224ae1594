// Peers whose host has vanished are noticed in seconds, where the system's own defaults are two hours for a silent
// connection and a quarter of an hour for one with bytes in flight (kubernetes/kubernetes#48638).
//
//   nothing in flight ─▶ keepalive: probes after 4 to 6 s of silence, seven of them a second apart
//   bytes in flight   ─▶ looked at every few seconds: sent again, and nothing acknowledged for `silenceMsMax` ─▶ gone
//
// TCP_USER_TIMEOUT would do the second, but it also ends a connection whose reader is alive and has stopped reading (its
// window stays zero, tcp_probe_timer in the kernel's net/ipv4/tcp_timer.c): `kubectl logs` into a pager. Such a reader
// answers the probes of its window, and TCP_INFO tells. (A host that vanishes after its reader has been stopped for minutes
// is noticed as late as the next two probes: they come ever more rarely, at most two minutes apart.)
//
// Probes can get lost on our own machine: Linux collects timers of seconds into batches, so the probes of thousands of
// connections that fell silent together leave at one moment, and a queue (net.core.netdev_max_backlog) drops what exceeds
// it. So there are seven, and connections take turns in when they begin.

import type { ConnectionTable } from './connection-table.ts'
import { IPPROTO_TCP, overdueMs, setIntOption, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, unacknowledgedBytes } from './libc.ts'
import type { Clock } from './pending-bytes.ts'

/** The first probe after this much silence, plus a second for each of `turns`. */
const keepaliveIdleSeconds = 4
const turns = 3
const keepaliveIntervalSeconds = 1
const keepaliveProbes = 7

/** A connection that lives so long is watched; most that end earlier never cost the system calls. */
const firstLookMs = 1_000
const lookIntervalMs = 4_000
/** Without any acknowledgement while bytes are in flight. */
const silenceMsMax = 8_000

/** Bits of a slot. */
const seen = {
  /** It was looked at: its sockets probe. */
  probed: 1,
  /** Nothing was in flight at the last look. */
  settled: 2,
} as const

export class PeerWatch {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  /** By slot: the last look's time; before the first, when it began. */
  readonly #lookedMs: Float64Array
  /** By slot: a set of `seen`. */
  readonly #seen: Uint8Array

  constructor(table: ConnectionTable, clock: Clock) {
    this.#table = table
    this.#clock = clock
    this.#lookedMs = new Float64Array(table.capacity)
    this.#seen = new Uint8Array(table.capacity)
  }

  begin(slot: number): void {
    this.#lookedMs[slot] = this.#clock.nowMs
    this.#seen[slot] = 0
  }

  nextLookMs(slot: number): number {
    return (this.#lookedMs[slot] ?? 0) + (this.#has(slot, seen.probed) ? lookIntervalMs : firstLookMs)
  }

  /** @returns the token whose peer is gone, or -1 */
  look(slot: number): number {
    const { nowMs } = this.#clock
    if (nowMs < this.nextLookMs(slot)) return -1
    // What moved in the very turn of the last look may have come after it.
    const hasMoved = (this.#table.activityMs[slot] ?? 0) >= (this.#lookedMs[slot] ?? 0)
    const wasSettled = this.#has(slot, seen.settled)
    if (!this.#has(slot, seen.probed)) {
      this.#probe(2 * slot)
      this.#probe(2 * slot + 1)
    }
    this.#lookedMs[slot] = nowMs
    // Nothing is in flight between two idle sockets, and a system call for each of them would be for nothing.
    if (!hasMoved && wasSettled) return -1
    this.#seen[slot] = seen.probed
    if (unacknowledgedBytes(this.#table.fdOf(2 * slot)) + unacknowledgedBytes(this.#table.fdOf(2 * slot + 1)) === 0) {
      this.#seen[slot] = seen.probed | seen.settled
      return -1
    }
    if (this.#isGone(2 * slot + 1)) return 2 * slot + 1
    return this.#isGone(2 * slot) ? 2 * slot : -1
  }

  #has(slot: number, bit: number): boolean {
    return ((this.#seen[slot] ?? 0) & bit) !== 0
  }

  #isGone(token: number): boolean {
    return overdueMs(this.#table.fdOf(token)) > silenceMsMax
  }

  #probe(token: number): void {
    const fd = this.#table.fdOf(token)
    setKeepAlive(fd, keepaliveIdleSeconds + ((token >> 1) % turns))
  }
}

/** @param idleSeconds of silence, before the first probe */
export function setKeepAlive(fd: number, idleSeconds: number): void {
  setIntOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, idleSeconds)
  setIntOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepaliveIntervalSeconds)
  setIntOption(fd, IPPROTO_TCP, TCP_KEEPCNT, keepaliveProbes)
  setIntOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
}
