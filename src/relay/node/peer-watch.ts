// TCP keepalive on both sides of each connection, so that a peer whose host has vanished is noticed in seconds, where the
// system's own default is over two hours. It does not watch bytes in flight: that takes TCP_USER_TIMEOUT, which node has no
// access to.
//
// Probes can get lost on our own machine: Linux collects timers of seconds into batches of up to half a second, so the probes
// of thousands of connections that fell silent together leave at one moment, and a queue (net.core.netdev_max_backlog, 1,000
// packets; a device's txqueuelen) drops what exceeds it. With three probes, 16,000 connections lost a third of themselves that
// way. So there are seven, and connections take turns in when they begin.

import type { Socket } from 'node:net'

/** The first probe after this much silence, plus a second for each of `turns`: 5 to 8 s. */
const initialDelayMs = 5_000
const turns = 4
const turnMs = 1_000
/** Between probes; after `count` without an answer the peer is gone: 12 to 15 s. Node before 26.4 has ten: 15 to 18 s. */
const intervalMs = 1_000
const count = 7

export class PeerWatch {
  #turn = 0

  /** Turns keepalive on; the socket is connected. */
  watch(socket: Socket): void {
    this.#turn = (this.#turn + 1) % turns
    socket.setKeepAlive(true, initialDelayMs + this.#turn * turnMs, intervalMs, count)
  }
}
