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

export class PeerWatch {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  /** By slot: when to look next. */
  readonly #nextLookMs: Float64Array
  /** By slot: nothing was in flight at the last look. */
  readonly #settled: Uint8Array
  /** By slot: activity at the last look; 0 before the first. */
  readonly #seenActivityMs: Float64Array

  constructor(table: ConnectionTable, clock: Clock) {
    this.#table = table
    this.#clock = clock
    this.#settled = new Uint8Array(table.capacity)
    this.#nextLookMs = new Float64Array(table.capacity)
    this.#seenActivityMs = new Float64Array(table.capacity)
  }

  begin(slot: number): void {
    this.#nextLookMs[slot] = this.#clock.nowMs + firstLookMs
    this.#seenActivityMs[slot] = 0
    this.#settled[slot] = 0
  }

  nextLookMs(slot: number): number {
    return this.#nextLookMs[slot] ?? 0
  }

  /** @returns the token whose peer is gone, or -1 */
  look(slot: number): number {
    const { nowMs } = this.#clock
    if (nowMs < this.nextLookMs(slot)) return -1
    this.#nextLookMs[slot] = nowMs + lookIntervalMs
    const seenMs = this.#seenActivityMs[slot] ?? 0
    const activityMs = this.#table.activityMs[slot] ?? 0
    this.#seenActivityMs[slot] = activityMs
    if (seenMs === 0) {
      this.#probe(2 * slot)
      this.#probe(2 * slot + 1)
    }
    // Nothing is in flight between two idle sockets, and a system call for each of them would be for nothing.
    if (activityMs === seenMs && this.#settled[slot] === 1) return -1
    this.#settled[slot] = 0
    if (unacknowledgedBytes(this.#table.fdOf(2 * slot)) + unacknowledgedBytes(this.#table.fdOf(2 * slot + 1)) === 0) {
      this.#settled[slot] = 1
      return -1
    }
    if (this.#isGone(2 * slot + 1)) return 2 * slot + 1
    return this.#isGone(2 * slot) ? 2 * slot : -1
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
