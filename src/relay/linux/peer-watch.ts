// Peers whose host has vanished are noticed in seconds, where the system's own defaults are two hours for a silent
// connection and a quarter of an hour for one with bytes in flight (kubernetes/kubernetes#48638).
//
//   nothing in flight ─▶ asked when it has been silent ─┐
//   bytes in flight   ─▶ the kernel sends them again  ──┴─▶ looked at each second ── six times no answer (core/peer-silence.ts) ─▶ an API server is gone
//                                                                                                      a client: asked in its turns ─▶ gone
//
// Each connection is looked at every five seconds, in a turn of its own, and a second later where an answer is due.
//
// TCP_USER_TIMEOUT would do the second, but it also ends a connection whose reader is alive and has stopped reading (its
// window stays zero, tcp_probe_timer in the kernel's net/ipv4/tcp_timer.c): `kubectl logs` into a pager. Such a reader
// answers the probes of its window, and TCP_INFO tells. (A host that vanishes after its reader has been stopped for minutes
// is noticed as late as the next two probes: they come ever more rarely, at most two minutes apart.)
//
// The kernel's keepalive would do the first by itself, but it loses who is alive: Linux collects timers of seconds into
// batches, of a quarter or half a second for those of 4 to 6 s, so the probes of thousands of connections that fell silent
// together leave at one moment, and a queue (net.core.netdev_max_backlog, 1,000 packets: loopback's, and that of a pod's
// link) drops what exceeds it: mostly the same ones each time. Seven probes a second apart were not enough for some of
// 4,000 connections. So the kernel sends a probe when it is told to, and judges nobody.

import { askNext, clientSilenceMs, isDueSoon, lookAfterMs, notLooked, owed } from '../../core/peer-silence.ts'
import type { ConnectionTable } from './connection-table.ts'
import { askPeer, letAskPeer, peerSigns, readPeerSigns, sendAgainMs, sendAgainWithin } from './libc.ts'
import type { Clock } from './pending-bytes.ts'

/**
 * To a client that left a question unanswered: doubled waits end after some 13, 25, 51 and 102 s, so a path that was back after 26 would
 * be noticed after 51. With net.ipv4.tcp_retries2 at 8, in place of 15, the kernel gives up after some 43 s, and it would at 27 with 5 s here.
 */
const sendAgainMsMax = 10_000
/** As each socket begins (net.ipv4.tcp_rto_max_ms). */
let usualSendAgainMs: number | undefined

export class PeerWatch {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  /** By slot: the last look's time; before the first, when it began. */
  readonly #lookedMs: Float64Array
  /** By token: as `lookAtPeer` gave it. */
  readonly #asked: Int8Array

  constructor(table: ConnectionTable, clock: Clock) {
    this.#table = table
    this.#clock = clock
    this.#lookedMs = new Float64Array(table.capacity)
    this.#asked = new Int8Array(2 * table.capacity)
  }

  begin(slot: number): void {
    this.#lookedMs[slot] = this.#clock.nowMs
    this.#asked[2 * slot] = notLooked
    this.#asked[2 * slot + 1] = notLooked
  }

  /** Its client's socket is closed: what was not acknowledged is the kernel's to send, with its own patience (tcp_orphan_retries). */
  end(slot: number): void {
    if ((this.#asked[2 * slot] ?? 0) > 1) sendAgainSooner(this.#table.fdOf(2 * slot), false)
  }

  nextLookMs(slot: number): number {
    const lookedMs = this.#lookedMs[slot] ?? 0
    return lookedMs + lookAfterMs(this.#soonestAsked(slot), lookedMs, slot)
  }

  /** Of its two sides, which are looked at together. */
  #soonestAsked(slot: number): number {
    const client = this.#asked[2 * slot] ?? 0
    return isDueSoon(client) ? client : this.#asked[2 * slot + 1] ?? 0
  }

  /** @returns the token whose peer is gone, or -1 */
  look(slot: number): number {
    const { nowMs } = this.#clock
    if (nowMs < this.nextLookMs(slot)) return -1
    const sinceLookMs = nowMs - (this.#lookedMs[slot] ?? 0)
    this.#lookedMs[slot] = nowMs
    const inTurn = !isDueSoon(this.#soonestAsked(slot))
    for (let token = 2 * slot + 1; token >= 2 * slot; token--) {
      const asked = lookAtPeer(this.#table.fdOf(token), this.#asked[token] ?? 0, sinceLookMs, inTurn, (token & 1) === 0 ? clientSilenceMs : 0)
      if (asked === -1) return token
      this.#asked[token] = asked
    }
    return -1
  }
}

/**
 * Asks it, where that is next.
 * @param asked what it gave at the look before; `notLooked`: there was none
 * @param inTurn as `askNext`'s, and so is `goneAfterMs`
 * @returns -1: the peer is gone
 */
export function lookAtPeer(fd: number, asked: number, sinceLookMs: number, inTurn: boolean, goneAfterMs: number): number {
  if (asked === notLooked) letAskPeer(fd)
  if (!readPeerSigns(fd)) return 0
  const { owes } = peerSigns
  const next = askNext(Math.max(0, asked), owes, peerSigns.silentMs, sinceLookMs, inTurn, goneAfterMs)
  if (next > 0 && owes === owed.nothing) askPeer(fd)
  // Who is alive answers the first.
  if (goneAfterMs > 0 && next > 1 !== asked > 1) sendAgainSooner(fd, next > 1)
  return next
}

/** The first of a thread's calls is of a socket that is as it began. */
function sendAgainSooner(fd: number, isSooner: boolean): void {
  usualSendAgainMs ??= sendAgainMs(fd)
  if (usualSendAgainMs > sendAgainMsMax) sendAgainWithin(fd, isSooner ? sendAgainMsMax : usualSendAgainMs)
}
