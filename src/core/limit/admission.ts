// Who is let in. Three times it is asked: at the accept, when all that is known is where a connection comes from; when a PROXY
// header has said where it comes from; and when its tenant is known.
//
//   accept ─▶ process, listener, hello budget, source ─▶ hello ─▶ tenant, its source, share, pace ─▶ dialled
//     └─ reset at once: costs less than letting it in      └─ a TLS alert
//
// Caps come before rates, and what is somebody's own before what all have together: who is at a cap of its own takes nothing of
// what others need. Three rules hold without being configured, all of them so that few can't have all:
//
// - Half of the process's connections at most are before their hello, unless that would be very few; once half of that budget is
//   taken, a source may have a quarter of it.
// - The last eighth of the process's connections, and half of the burst of its pace, are for tenants with no more connections than a
//   quarter over the average of those that have any. In a storm those go first: the others get what these leave, and all of it once the storm is over.

import type { ConnectionAdmission } from '../connection.ts'
import type { ListenerPolicy, TenantPolicy } from '../snapshot.ts'
import { holdField, processCell, takeBelow, type AdmissionTables } from './admission-tables.ts'
import { Holds, noHold } from './holds.ts'
import type { ProcessLimits } from './limits.ts'
import { dialBegins, mayRetry } from './retry-budget.ts'
import { aheadNs, paceOf, takePaced, type Pace } from './shared-pace.ts'
import { SourceKey } from '../net/source-key.ts'
import { sourceOutcome, SourceTable, type SourceLimits } from './source-table.ts'

export type AcceptRefusal =
  | 'connection-limit' | 'hello-limit' | 'listener-connection-limit' | 'listener-rate-limit' | 'source-connection-limit' | 'source-rate-limit'
export type TenantRefusal =
  | 'tenant-connection-limit' | 'tenant-rate-limit' | 'tenant-source-limit' | 'share-limit' | 'process-rate-limit'

const helloShare = 2
/** A process that is smaller needs no budget. */
const helloShareMin = 64
const helloPerSourceShare = 4
const helloPerSourceMin = 16
const reservedShare = 8
/** Of the average: of tenants that are alike half are over it, and in a storm it changes with each that comes. */
const shareTolerance = 1.25
/** Of one who waits before the accept: less than he would after two refusals, and far less than clients bear. */
const queueNsMax = 2_000_000_000n
/** A count that no source reaches: it is counted all the same. */
const counted = 2 ** 31 - 1

export interface AdmissionOptions {
  readonly tables: AdmissionTables
  /** Whose holds are used. */
  readonly thread: number
  /** Of a clock that all threads share. */
  readonly nowNs: () => bigint
}

export class Admission {
  readonly #tables: AdmissionTables
  readonly #holds: Holds
  readonly #sources: SourceTable
  readonly #nowNs: () => bigint
  readonly #source = new SourceKey()
  #connectionsMax: number
  #helloMax: number
  #pace: Pace | undefined

  constructor({ tables, thread, nowNs }: AdmissionOptions) {
    this.#tables = tables
    this.#holds = new Holds(tables, thread)
    this.#sources = new SourceTable(tables.sources, { thread, nowNs })
    this.#nowNs = nowNs
    this.#connectionsMax = tables.connectionsMax
    this.#helloMax = helloMaxOf(tables.connectionsMax)
  }

  /** These hold from now on. */
  publish({ connectionsMax = Infinity, helloConnectionsMax, rate }: ProcessLimits): void {
    this.#connectionsMax = Math.min(connectionsMax, this.#tables.connectionsMax)
    Atomics.store(this.#tables.process, processCell.connectionsMax, this.#connectionsMax)
    this.#helloMax = helloConnectionsMax ?? helloMaxOf(this.#connectionsMax)
    this.#pace = rate === undefined ? undefined : paceOf(rate)
  }

  /**
   * A connection has been accepted.
   * @param source undefined where only a PROXY header will tell
   * @returns its hold, for `leave`
   */
  accept(listener: ListenerPolicy, source: SourceKey | undefined): number | AcceptRefusal {
    const { process, listeners, listenersDue } = this.#tables
    const hold = this.#holds.take()
    if (hold === noHold) return 'connection-limit'
    if (takeBelow(process, processCell.open, this.#connectionsMax) === -1) return this.#refuse(hold, 'connection-limit')
    this.#holds.set(hold, holdField.isOpen, 1)
    const { limitRow, limits } = listener
    if (limitRow !== undefined) {
      if (takeBelow(listeners, limitRow, limits?.connectionsMax ?? Infinity) === -1) return this.#refuse(hold, 'listener-connection-limit')
      this.#holds.set(hold, holdField.listener, limitRow + 1)
    }
    if (takeBelow(process, processCell.beforeHello, this.#helloMax) === -1) return this.#refuse(hold, 'hello-limit')
    if (source !== undefined) {
      const refusal = this.#enterSource(hold, listener, source)
      if (refusal !== undefined) {
        // Not yet the hold's.
        Atomics.sub(process, processCell.beforeHello, 1)
        return this.#refuse(hold, refusal)
      }
    }
    this.#holds.set(hold, holdField.isBeforeHello, 1)
    if (limitRow === undefined || limits?.pace === undefined || takePaced({ cells: listenersDue, index: limitRow }, limits.pace, this.#nowNs())) return hold
    return this.#refuse(hold, 'listener-rate-limit')
  }

  /** Whether `holdsBack` can be true. */
  get isPaced(): boolean {
    return this.#pace !== undefined
  }

  /**
   * Whether a connection is better left in its listener's queue: while the process's pace would refuse some of those that come, but
   * not once the queue is so long that the last in it would have to wait for too long.
   * @param queued in the queue, which is one thread's
   * @param uncounted that were taken from a queue and whose tenants are not known yet: each counts as if it had been let in
   */
  holdsBack(queued: number, uncounted = 0): boolean {
    const pace = this.#pace
    if (pace === undefined || queued === 0 || aheadNs({ cells: this.#tables.processDue, index: 0 }, this.#nowNs()) + BigInt(uncounted) * pace.intervalNs <= pace.toleranceNs / 2n) return false
    return BigInt(queued * this.#tables.holds.length) * pace.intervalNs < queueNsMax
  }

  /** For the connection's machine. */
  held(hold: number, listener: ListenerPolicy): ConnectionAdmission {
    return new Held(this, hold, listener)
  }

  /** A PROXY header has named a connection's client. */
  client(hold: number, listener: ListenerPolicy, address: string): AcceptRefusal | undefined {
    return hold === noHold ? undefined : this.#enterSource(hold, listener, this.#source.setText(address))
  }

  /** Its tenant is known. */
  tenant(hold: number, { limitRow, limits, retryBudget }: TenantPolicy, clientAddress: string): TenantRefusal | undefined {
    if (hold === noHold || limitRow === undefined) return undefined
    const { process, tenants, tenantsDue, processDue } = this.#tables
    const before = takeBelow(tenants, limitRow, limits?.connectionsMax ?? Infinity)
    if (before === -1) return 'tenant-connection-limit'
    this.#holds.set(hold, holdField.tenant, limitRow + 1)
    Atomics.add(process, processCell.ofTenants, 1)
    if (before === 0) Atomics.add(process, processCell.tenants, 1)
    if (limits !== undefined && limits.connectionsPerSourceMax !== Infinity) {
      const row = this.#sources.enter(2 * limitRow + 1, this.#source.setText(clientAddress), { openMax: limits.connectionsPerSourceMax, beforeHelloMax: Infinity })
      if (row === sourceOutcome.atOpenMax) return 'tenant-source-limit'
      if (row !== sourceOutcome.untracked) this.#holds.set(hold, holdField.tenantSource, row + 1)
    }
    const isOverShare = before * Atomics.load(process, processCell.tenants) > shareTolerance * Atomics.load(process, processCell.ofTenants)
    const reserved = Math.floor(this.#connectionsMax / reservedShare)
    if (isOverShare && Atomics.load(process, processCell.open) > this.#connectionsMax - reserved) return 'share-limit'
    if (limits?.pace !== undefined && !takePaced({ cells: tenantsDue, index: limitRow }, limits.pace, this.#nowNs())) return 'tenant-rate-limit'
    const pace = this.#pace
    if (pace !== undefined && !takePaced({ cells: processDue, index: 0 }, pace, this.#nowNs(), isOverShare ? pace.toleranceNs / 2n : 0n)) return 'process-rate-limit'
    if (retryBudget !== undefined) dialBegins(this.#tables.retries, limitRow, retryBudget)
    return undefined
  }

  /** Another endpoint may be dialled for a connection or a stream of the tenant, which was let in. */
  retry({ limitRow, retryBudget }: TenantPolicy): boolean {
    return limitRow === undefined || retryBudget === undefined || mayRetry(this.#tables.retries, limitRow, retryBudget, this.#nowNs())
  }

  /**
   * A stream of the tunnel: no connection of the edge, but its tenant's all the same.
   * @returns its hold, for `leave`
   */
  stream(tenant: TenantPolicy, agentAddress: string): number | TenantRefusal | 'connection-limit' {
    const hold = this.#holds.take()
    if (hold === noHold) return 'connection-limit'
    const refusal = this.tenant(hold, tenant, agentAddress)
    return refusal === undefined ? hold : this.#refuse(hold, refusal)
  }

  /** Its hello is whole. */
  greeted(hold: number): void {
    if (hold !== noHold) this.#holds.greeted(hold)
  }

  /** It has ended. */
  leave(hold: number): void {
    if (hold !== noHold) this.#holds.release(hold)
  }

  #enterSource(hold: number, { limitRow = 0, limits }: ListenerPolicy, source: SourceKey): AcceptRefusal | undefined {
    const isShort = Atomics.load(this.#tables.process, processCell.beforeHello) > this.#helloMax / 2
    const sourceLimits: SourceLimits = {
      openMax: limits?.connectionsPerSourceMax ?? Infinity,
      beforeHelloMax: isShort ? Math.max(helloPerSourceMin, Math.floor(this.#helloMax / helloPerSourceShare)) : counted,
      pace: limits?.sourcePace,
    }
    const row = this.#sources.enter(2 * limitRow, source, sourceLimits)
    switch (row) {
      case sourceOutcome.untracked: return undefined
      case sourceOutcome.atOpenMax: return 'source-connection-limit'
      case sourceOutcome.atBeforeHelloMax: return 'hello-limit'
      case sourceOutcome.tooFast: return 'source-rate-limit'
      default:
        this.#holds.set(hold, holdField.source, row + 1)
        return undefined
    }
  }

  #refuse<Refusal extends AcceptRefusal | TenantRefusal>(hold: number, refusal: Refusal): Refusal {
    this.#holds.release(hold)
    return refusal
  }
}

function helloMaxOf(connectionsMax: number): number {
  return Math.max(Math.ceil(connectionsMax / helloShare), Math.min(connectionsMax, helloShareMin))
}

class Held implements ConnectionAdmission {
  readonly #admission: Admission
  readonly #hold: number
  readonly #listener: ListenerPolicy

  constructor(admission: Admission, hold: number, listener: ListenerPolicy) {
    this.#admission = admission
    this.#hold = hold
    this.#listener = listener
  }

  client(address: string): AcceptRefusal | undefined {
    return this.#admission.client(this.#hold, this.#listener, address)
  }

  tenant(tenant: TenantPolicy, clientAddress: string): TenantRefusal | undefined {
    return this.#admission.tenant(this.#hold, tenant, clientAddress)
  }

  retry(tenant: TenantPolicy): boolean {
    return this.#admission.retry(tenant)
  }
}
