// The contract between the gateway and whatever moves the bytes.
//
//   gateway ── publish(change), listen, drain ──▶ driver ── accepted, ended ──▶ observer
//
// A driver owns sockets and timers and nothing else: what happens to a connection is decided by `core/connection.ts`,
// whose effects it performs. test/compliance/ holds every driver to the relay rules.

import type { ConnectionRecord } from '../core/connection-record.ts'
import type { LiveThread } from '../core/live/live-connection.ts'
import type { SocketAddress } from '../core/net/socket-address.ts'
import type { RelayCounters } from '../core/relay-observer.ts'
import type { SnapshotChange } from '../core/snapshot.ts'

export interface ListenOptions {
  /** For an IPv6 address: leave its port's IPv4 side to others. */
  readonly ipv6Only: boolean
}

/**
 * A connection that asked for a tunnel hostname: not relayed, and no longer the driver's. Which socket it is comes beside
 * this, in the driver's own kind; whoever is given that closes it. This is plain data, for another thread too.
 */
export interface HandedOver {
  /** As it was recorded, with reason `handed-over`. */
  readonly record: ConnectionRecord
  /** What was read of it, from the ClientHello on: it comes before everything that is read from the socket. */
  readonly head: Uint8Array
}

export interface RelayDriver {
  readonly kind: 'node' | 'linux'
  /** Those that have its connections. */
  readonly live: readonly LiveThread[]
  /**
   * Changes the snapshot, which is empty at first. Resolves once every connection that is accepted from now on uses the new
   * one; live ones keep theirs. One change after the other, and one before the first `listen`.
   */
  publish(change: SnapshotChange): Promise<void>
  /**
   * Binds and accepts. `name` is the listener's name in the snapshot.
   * Resolves to the bound address (the port is the system's choice for port 0); rejects with the system's error.
   */
  listen(name: string, address: SocketAddress, options: ListenOptions): Promise<SocketAddress>
  /** Stops accepting on one listener; its live connections go on. Resolves once the port is free. */
  unlisten(name: string): Promise<void>
  /**
   * Starts every live connection's drain deadline (in the second half of its tenant's `timeouts.drain`); new ones that are still accepted get
   * theirs at once. Resolves when no connection is left.
   */
  drain(): Promise<void>
  /** Tickets of this node let nobody through from now on, and who came with one is cut, with reason `node-revoked`. */
  revoke(node: string): Promise<void>
  /** Ends everything now: listeners, and each connection with reason `gateway-stopped`. Resolves when all is closed. */
  stop(): Promise<void>
  counters(): RelayCounters
  /**
   * Where there are workers: one of them throws as a bug would. Resolves once another has taken its place.
   * @param turn which one: counted round
   */
  crashWorker?(turn: number): Promise<void>
}
