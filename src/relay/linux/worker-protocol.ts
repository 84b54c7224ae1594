// What the main thread and a worker tell each other. A worker blocks in epoll_wait, so whoever posts to it also writes to
// its eventfd; it answers requests by their number.

import type { MessagePort } from 'node:worker_threads'
import type { ActiveCells } from '../../core/balance/active-counts.ts'
import type { AdmissionTables } from '../../core/limit/admission-tables.ts'
import type { KernelLaneMode } from '../../core/kernel-lane-policy.ts'
import type { ConnectionRef, Scan, ScanRequest } from '../../core/live/live-connection.ts'
import type { RelayCells } from '../../core/relay-cells.ts'
import type { SnapshotChange } from '../../core/snapshot.ts'
import type { HandedOver } from '../driver.ts'
import type { TicketSecrets } from '../tickets.ts'

export type WorkerRequest =
  | { readonly kind: 'publish'; readonly changes: readonly SnapshotChange[] }
  /** The descriptor stays the main thread's. */
  | { readonly kind: 'listen'; readonly listener: string; readonly fd: number }
  | { readonly kind: 'unlisten'; readonly listener: string }
  | { readonly kind: 'revoke'; readonly node: string }
  | { readonly kind: 'scan'; readonly request: ScanRequest }
  | { readonly kind: 'close'; readonly refs: readonly ConnectionRef[] }
  /** Answered once no connection is left. */
  | { readonly kind: 'drain' }
  /** Answered once everything is closed; the worker then ends. */
  | { readonly kind: 'stop' }
  /** Everybody leaves the kernel lane, and may go in again: for tests of that. */
  | { readonly kind: 'leave-lane' }
  /** Throws, as a bug would: for tests of what happens then. */
  | { readonly kind: 'crash' }

/** What is answered to each kind of request. */
export type WorkerAnswer<Kind extends WorkerRequest['kind'] = WorkerRequest['kind']> = Kind extends 'scan' ? Scan : Kind extends 'close' ? number : undefined

/** Which dial waits for a name's address: its slot may be another connection's when the answer comes. */
export interface Dial {
  readonly slot: number
  /** The connection's, among all that its worker has accepted. */
  readonly connection: number
  readonly attempt: number
}

export type ToWorker =
  | { readonly kind: 'request'; readonly number: number; readonly request: WorkerRequest }
  | { readonly kind: 'resolved'; readonly dial: Dial; readonly answer: { readonly address: string } | { readonly failure: string; readonly isOurs: boolean } }

export type FromWorker =
  | { readonly kind: 'answer'; readonly number: number; readonly error?: string; readonly value?: WorkerAnswer }
  | { readonly kind: 'resolve'; readonly dial: Dial; readonly hostname: string }
  /** A failure that belongs to no connection. */
  | { readonly kind: 'failed'; readonly error: Error; readonly context: string }
  /** The descriptor is not the worker's any more. */
  | { readonly kind: 'handed-over'; readonly fd: number; readonly connection: HandedOver }
  /** It has no io_uring: one system call for each read and write. */
  | { readonly kind: 'without-ring'; readonly why: string }
  /** Its connections have no kernel lane, and why. */
  | { readonly kind: 'without-lane'; readonly why: string }
  /** From the worker's observer, to whoever made it. */
  | { readonly kind: 'observed'; readonly message: unknown }

/** Cloned to the worker when it starts. */
export interface RelayWorkerData {
  /** 0, 1, … */
  readonly worker: number
  /** Connections that this worker has room for, those that are closing included. */
  readonly slots: number
  /** Pipes that it may have at one time. */
  readonly pipes: number
  /** Open connections of the process over which new ones are refused. */
  readonly connectionsMax: number
  /** Where this worker is a thread of that number; absent: there are no limits. */
  readonly admission?: AdmissionTables
  /** Somebody takes the tunnel's connections. */
  readonly handsOver: boolean
  /** Of the tunnel's direct lane; absent: nobody comes with a ticket. */
  readonly tickets?: TicketSecrets
  readonly kernelLane: KernelLaneMode
  /** Absent: as many as its slots. */
  readonly kernelLanePlaces?: number
  /** 0: it sleeps at once. */
  readonly busyPollUs: number
  /** Of this worker's connections' ids. */
  readonly idPrefix: string
  /** To rehearse for before it is there for others (warm-up.ts); 0: not at all. */
  readonly warmUpMs: number
  readonly wakeFd: number
  readonly port: MessagePort
  /** For `descriptorsIn`. */
  readonly descriptors: SharedArrayBuffer
  /** Of all workers, by worker: each writes its own. */
  readonly cells: readonly RelayCells[]
  /** This worker's thread in it is `worker`; absent: nobody counts connections by endpoint. */
  readonly active?: ActiveCells
  /** By worker: slots in use. */
  readonly slotsUsed: Int32Array<SharedArrayBuffer>
  /** For `ListenerTable`. */
  readonly listenerTable: SharedArrayBuffer
  /** For whoever makes the worker's observer. */
  readonly observer: unknown
}
