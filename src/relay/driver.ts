// The contract between the gateway and whatever moves the bytes.
//
//   gateway ── publish(snapshot), listen, drain ──▶ driver ── accepted, ended ──▶ observer
//
// A driver owns sockets and timers and nothing else: what happens to a connection is decided by `core/connection.ts`,
// whose effects it performs. test/compliance/ holds every driver to the relay rules.

import type { ConnectionRecord } from '../core/connection-record.ts'
import type { SocketAddress } from '../core/net/socket-address.ts'
import type { Snapshot } from '../core/snapshot.ts'

/** Told of each connection. Called on the relay's own path: must return quickly and never throw. */
export interface RelayObserver {
  connectionAccepted(listener: string): void
  /** Exactly once for each accepted connection. */
  connectionEnded(record: ConnectionRecord): void
  /** A failure that belongs to no connection: an accept that failed, for example. */
  driverError(error: Error, context: string): void
}

/** Totals since the start, but for the gauges (`open…`). Read at each scrape, so live connections count at once. */
export interface RelayCounters {
  /** Accepted and not yet ended. */
  readonly openConnections: number
  /** Of these, not yet routed to a tenant: no whole ClientHello yet. */
  readonly openConnectionsBeforeHello: number
  readonly openConnectionsByListener: ReadonlyMap<string, number>
  /** Connections now open, over which new ones are refused with reason `connection-limit`. */
  readonly connectionsMax: number
  readonly bytesFromDownstream: number
  readonly bytesFromUpstream: number
  readonly dials: number
  readonly dialFailures: number
  /** Times that a reader was stopped because the other side's buffer was full. */
  readonly backpressurePauses: number
  readonly acceptErrors: number
}

export interface RelayDriver {
  readonly kind: 'node'
  /**
   * Connections accepted from now on use this snapshot; live ones keep theirs.
   */
  publish(snapshot: Snapshot): void
  /**
   * Binds and accepts. `name` is the listener's name in the snapshot.
   * Resolves to the bound address (the port is the system's choice for port 0); rejects with the system's error.
   */
  listen(name: string, address: SocketAddress): Promise<SocketAddress>
  /** Stops accepting on one listener; its live connections go on. Resolves once the port is free. */
  unlisten(name: string): Promise<void>
  /**
   * Starts every live connection's drain deadline (its tenant's `timeouts.drain`); new ones that are still accepted get
   * theirs at once. Resolves when no connection is left.
   */
  drain(): Promise<void>
  /** Ends everything now: listeners, and each connection with reason `gateway-stopped`. Resolves when all is closed. */
  stop(): Promise<void>
  counters(): RelayCounters
}
