// Connections whose bytes go straight across: what `core/relayed.ts` decides about FIN, RST and deadlines is performed on
// the table's columns here, and their records are made from them.

import type { StopReason } from '../../core/connection-events.ts'
import type { ClosedBy, ConnectionRecord } from '../../core/connection-record.ts'
import type { RelayedFacts } from '../../core/connection.ts'
import type { LiveConnection } from '../../core/live/live-connection.ts'
import { drainDeadlineMs } from '../../core/live/spread.ts'
import { completedBy, hasFin, isCompleted, lostReason, relayDeadlineMs, relayDeadlineReason, relayedPhase, withFin, withFinished, type Side } from '../../core/relayed.ts'
import type { TenantPolicy } from '../../core/snapshot.ts'
import type { TerminationReason } from '../../core/termination.ts'
import type { TimerWheel } from '../../core/timer-wheel.ts'
import type { BatchRelay } from './batch-relay.ts'
import type { ByteRelay, RelayEvents } from './byte-relay.ts'
import { slotState, tokenBit, type ConnectionTable } from './connection-table.ts'
import type { KernelLane } from './kernel-lane/kernel-lane.ts'
import type { LaneCandidates } from './kernel-lane/lane-candidates.ts'
import { SHUT_WR, shutdown } from './libc.ts'
import type { PeerWatch } from './peer-watch.ts'
import type { EpochClock } from './pending-bytes.ts'
import type { SocketCloser } from './socket-closer.ts'

export interface RelayedParts {
  readonly table: ConnectionTable
  readonly wheel: TimerWheel
  readonly clock: EpochClock
  readonly bytes: ByteRelay
  readonly batch: BatchRelay
  readonly closer: SocketCloser
  readonly peerWatch: PeerWatch
  /** Absent: there is none. */
  readonly lane: KernelLane | undefined
  readonly candidates: LaneCandidates | undefined
  /** What `side` has sent is not what was moved. */
  readonly corrupted: (slot: number, what: string) => void
  readonly connectionId: (number: number) => string
  readonly ended: (slot: number, record: ConnectionRecord) => void
}

export class RelayedConnections implements RelayEvents {
  readonly #parts: RelayedParts
  #drainSinceMs = Infinity

  constructor(parts: RelayedParts) {
    this.#parts = parts
  }

  /** A connection's set-up is over. */
  begin(slot: number, facts: RelayedFacts): void {
    const { table, wheel, clock, peerWatch } = this.#parts
    table.state[slot] = slotState.relaying
    table.tenants[slot] = facts.tenant
    table.endpoints[slot] = facts.endpoint
    table.serverNames[slot] = facts.serverName
    if (facts.client !== undefined) table.clients.set(slot, facts.client)
    if (facts.proxied !== undefined) table.proxied.set(slot, facts.proxied)
    table.encryptedClientHello[slot] = facts.encryptedClientHello ? 1 : 0
    table.snapshotVersion[slot] = facts.snapshotVersion
    table.helloMs[slot] = facts.helloMs
    table.connectMs[slot] = facts.connectMs
    table.activityMs[slot] = clock.nowMs
    peerWatch.begin(slot)
    this.#parts.lane?.begin(slot)
    this.#parts.candidates?.begin(slot)
    wheel.set(slot, Math.min(this.#deadlineMs(slot), peerWatch.nextLookMs(slot)))
  }

  /** Something happened to one of its descriptors. */
  ready(token: number, { readable, writable, ending }: { readable: boolean; writable: boolean; ending: boolean }): void {
    const { table, bytes, batch } = this.#parts
    if (writable && (table.pending[token ^ 1] ?? 0) !== 0) bytes.flush(token ^ 1)
    if (!readable && !ending) return
    if (table.state[token >> 1] !== slotState.relaying) return
    table.set(token, ending ? tokenBit.readable | tokenBit.ending : tokenBit.readable)
    batch.add(token)
  }

  readToEnd(token: number): void {
    this.finish(token >> 1, sideOf(token))
  }

  /** FIN has come from `side`, and everything before it has crossed. */
  finish(slot: number, side: Side): void {
    const { table, clock, wheel, closer } = this.#parts
    const bits = table.relayBits[slot] ?? 0
    if (hasFin(bits, side)) return
    if (this.#parts.lane?.isWhole(side === 'downstream' ? 2 * slot : 2 * slot + 1) === false) {
      this.#parts.corrupted(slot, `the ${side} side has sent more, or less, than was moved`)
      return
    }
    const other = side === 'downstream' ? 2 * slot + 1 : 2 * slot
    shutdown(table.fdOf(other), SHUT_WR)
    const now = withFinished(withFin(bits, side), side === 'downstream' ? 'upstream' : 'downstream')
    table.relayBits[slot] = now
    table.activityMs[slot] = clock.nowMs
    if (!isCompleted(now)) {
      wheel.set(slot, Math.min(this.#deadlineMs(slot), this.#parts.peerWatch.nextLookMs(slot)))
      return
    }
    this.#record(slot, 'completed', completedBy(now))
    this.#parts.peerWatch.end(slot)
    closer.close(2 * slot)
    closer.close(2 * slot + 1)
    closer.settle(slot)
  }

  lost(token: number, unresponsive: boolean): void {
    const side = sideOf(token)
    this.#lost(token, lostReason(side, unresponsive ? 'unresponsive' : 'reset'), side)
  }

  due(slot: number): void {
    const { table, clock, wheel, peerWatch, lane } = this.#parts
    lane?.look(slot)
    const tenant = this.#tenant(slot)
    const activityMs = table.activityMs[slot] ?? 0
    const bits = table.relayBits[slot] ?? 0
    if (clock.nowMs >= relayDeadlineMs(bits, activityMs, this.#drainAtMs(slot), tenant)) {
      this.#abort(slot, relayDeadlineReason(bits, activityMs, this.#drainAtMs(slot), tenant), 'gateway')
      return
    }
    const gone = peerWatch.look(slot)
    if (gone !== -1) {
      this.#lost(gone, lostReason(sideOf(gone), 'unresponsive'), sideOf(gone))
      return
    }
    wheel.set(slot, Math.min(this.#deadlineMs(slot), peerWatch.nextLookMs(slot)))
  }

  /** The drain deadline of every live connection begins. */
  drain(): void {
    const { table, wheel, clock } = this.#parts
    this.#drainSinceMs = clock.nowMs
    for (let slot = 0; slot < table.used; slot++) {
      if (table.state[slot] === slotState.relaying) wheel.set(slot, Math.min(this.#deadlineMs(slot), clock.nowMs))
    }
  }

  live(slot: number): LiveConnection {
    const { table, clock, lane, connectionId } = this.#parts
    lane?.look(slot)
    const [serverName, node] = [table.serverNames[slot], table.nodes.get(slot)]
    return {
      id: connectionId(table.number[slot] ?? 0),
      slot,
      kind: 'connection',
      phase: relayedPhase(table.relayBits[slot] ?? 0),
      listener: table.listenerName(slot),
      tenant: this.#tenant(slot).name,
      ...(serverName === undefined ? {} : { serverName }),
      client: table.clients.get(slot) ?? table.downstreamAddress(slot),
      ...(node === undefined ? {} : { node }),
      endpoint: table.endpoints[slot]?.name ?? '',
      acceptedAtMs: clock.epochMs - (clock.nowMs - (table.acceptedMs[slot] ?? 0)),
      bytesFromDownstream: table.readBytes[2 * slot] ?? 0,
      bytesFromUpstream: table.readBytes[2 * slot + 1] ?? 0,
    }
  }

  stop(slot: number, reason: StopReason): void {
    this.#record(slot, reason, 'gateway')
    this.#parts.closer.abortSlot(slot)
  }

  /** Its peers are sent what they are owed first. */
  abort(slot: number, reason: TerminationReason): void {
    this.#abort(slot, reason, 'gateway')
  }

  #lost(token: number, reason: TerminationReason, side: Side): void {
    this.#record(token >> 1, reason, side)
    this.#parts.closer.close(token)
    this.#parts.closer.reset(token ^ 1)
    this.#parts.closer.settle(token >> 1)
  }

  #abort(slot: number, reason: TerminationReason, closedBy: ClosedBy): void {
    this.#record(slot, reason, closedBy)
    this.#parts.closer.reset(2 * slot)
    this.#parts.closer.reset(2 * slot + 1)
    this.#parts.closer.settle(slot)
  }

  #deadlineMs(slot: number): number {
    const { table } = this.#parts
    return relayDeadlineMs(table.relayBits[slot] ?? 0, table.activityMs[slot] ?? 0, this.#drainAtMs(slot), this.#tenant(slot))
  }

  #drainAtMs(slot: number): number {
    return drainDeadlineMs(this.#drainSinceMs, this.#parts.table.number[slot] ?? 0, this.#tenant(slot))
  }

  #tenant(slot: number): TenantPolicy {
    const tenant = this.#parts.table.tenants[slot]
    if (tenant === undefined) throw new Error('bug: a relayed connection has no tenant')
    return tenant
  }

  #record(slot: number, reason: TerminationReason, closedBy: ClosedBy): void {
    const { table, clock, connectionId, ended } = this.#parts
    this.#parts.lane?.release(slot)
    const endpoint = table.endpoints[slot]
    if (endpoint !== undefined) this.#tenant(slot).active.ended(endpoint)
    const downstream = table.downstreamAddress(slot)
    const serverName = table.serverNames[slot]
    const node = table.nodes.get(slot)
    const proxied = table.proxied.get(slot)
    const totalMs = clock.nowMs - (table.acceptedMs[slot] ?? 0)
    // Not put together of parts: V8 would look up each of their fields by name.
    const record: { -readonly [Field in keyof ConnectionRecord]: ConnectionRecord[Field] } = {
      id: connectionId(table.number[slot] ?? 0),
      reason,
      closedBy,
      listener: table.listenerName(slot),
      downstream,
      client: table.clients.get(slot) ?? downstream,
      encryptedClientHello: table.encryptedClientHello[slot] === 1,
      tenant: table.tenants[slot]?.name ?? '',
      endpoint: endpoint?.name ?? '',
      attempts: table.attempts[slot] ?? 0,
      snapshotVersion: table.snapshotVersion[slot] ?? 0,
      acceptedAtMs: clock.epochMs - totalMs,
      helloMs: table.helloMs[slot] ?? 0,
      connectMs: table.connectMs[slot] ?? 0,
      totalMs,
      bytesFromDownstream: table.readBytes[2 * slot] ?? 0,
      bytesFromUpstream: table.readBytes[2 * slot + 1] ?? 0,
    }
    if (serverName !== undefined) record.serverName = serverName
    if (proxied !== undefined) record.proxied = proxied
    if (node !== undefined) record.node = node
    ended(slot, record)
  }
}

function sideOf(token: number): Side {
  return (token & 1) === 0 ? 'downstream' : 'upstream'
}
