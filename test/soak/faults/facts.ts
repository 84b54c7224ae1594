// What clients and backends report of each connection at its end, and what they are told: messages between processes.

import type { BackendInstance } from './wire.ts'

export interface ClientFacts {
  readonly from: 'client'
  readonly id: number
  readonly startMs: number
  readonly endMs: number
  /** Absent: it was not even accepted by the system. */
  readonly localPort?: number
  readonly answeredBy?: BackendInstance
  readonly answeredAtMs?: number
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly sentFin: boolean
  /** The description of the alert that it was sent. */
  readonly alert?: number
  /** left-*: by itself · stuck: nothing moved for too long. */
  readonly end: 'fin' | 'reset' | 'left-reset' | 'left-close' | 'stuck'
  /** How late the client's event loop was, at the most. */
  readonly lateMs: number
  /** A byte that was lost, doubled, changed, out of order or another's. */
  readonly wrong?: string
}

export interface BackendFacts extends BackendInstance {
  readonly from: 'backend'
  readonly id: number
  readonly endMs: number
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly end: 'fin' | 'reset' | 'own-reset' | 'unanswered'
  readonly wrong?: string
}

export type FromBackend = BackendFacts | { readonly from: 'backend-status'; readonly open: number } | { readonly from: 'backend-ready' }
export type FromClients = ClientFacts | { readonly from: 'clients-status'; readonly open: number; readonly started: number } | { readonly from: 'clients-done'; readonly started: number }

/** hurry: no pauses any more; clients start no connection and say when the last one has ended. */
export type ToLoad = 'hurry' | 'status'
