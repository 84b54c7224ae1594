// What the load generator can do, and what it reports. One load runs at a time:
//
//   prepare     connections are opened, each with a ClientHello
//   start       load begins; what it counts so far is warm-up
//   window      … everything from here counts …
//   window end
//   finish      requests under way are waited for, connections are reset

import type { RecordableHistogram } from 'node:perf_hooks'
import type { EventLoop } from './event-loop.ts'

export type LoadSpec =
  /** Closed loop: each connection sends the next request when it has the answer. Operations are requests. */
  | { readonly kind: 'echo', readonly connections: number, readonly payloadBytes: number }
  /** Open loop: requests are due at fixed times, answered or not. Operations are requests. */
  | { readonly kind: 'paced', readonly connections: number, readonly payloadBytes: number, readonly requestsPerSecond: number }
  /** Connect, hello, its echo, reset, and again, so many at a time. Operations are connections. */
  | { readonly kind: 'connect', readonly connections: number }
  /** Reads from a source. Operations are bytes that came out of it here. */
  | { readonly kind: 'download', readonly connections: number }
  /** Writes to a sink. Operations are counted there. */
  | { readonly kind: 'upload', readonly connections: number }
  /** Opens connections, then nothing. Operations are none. */
  | { readonly kind: 'idle', readonly connections: number }

export interface LoadTarget {
  /** On 127.0.0.1. */
  readonly port: number
  /** The first bytes of each connection. */
  readonly hello: Uint8Array
  /** Path of a Unix socket: the port is reached through it, by an HTTP CONNECT whose answer is waited for. */
  readonly connectProxy?: string
  /** Addresses of loopback that connections come from, in turn; absent: the system's choice. */
  readonly sources?: readonly string[]
  /** That such a proxy is asked for. @default 127.0.0.1 */
  readonly address?: string
}

/** What a load is made of. */
export interface LoadParts<Spec extends LoadSpec> {
  readonly spec: Spec
  readonly target: LoadTarget
  /** The thread's. */
  readonly loop: EventLoop
}

/** Of one generator thread. */
export interface LoadTally {
  /** Within the window. */
  readonly operations: number
  readonly windowMs: number
  /** CPU of the generator's thread within the window. */
  readonly cpuMs: number
  /** Nanoseconds, of the operations in the window. Empty where there is nothing to time. */
  readonly latency: RecordableHistogram
  /** Paced only, nanoseconds: how late a request was sent although its connection was free. That is the generator's doing. */
  readonly sendDelay: RecordableHistogram
  /** Since `prepare`, for the comparison with what the backend counted. */
  readonly opened: number
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Connections that failed, and answers that were wrong or never came. */
  readonly failures: number
  readonly firstFailure?: string
}

/** One kind of load; its methods are called once each, in this order, but `tally`, which may be asked at any time. */
export interface Load {
  prepare(): Promise<void>
  start(): void
  openWindow(): void
  closeWindow(): void
  finish(): Promise<void>
  tally(): LoadTally
}

/** The share of thread `index` of `threads`; undefined if nothing is left for it. */
export function shareOf(spec: LoadSpec, index: number, threads: number): LoadSpec | undefined {
  const connections = Math.floor(spec.connections / threads) + (index < spec.connections % threads ? 1 : 0)
  if (connections === 0) return undefined
  if (spec.kind !== 'paced') return { ...spec, connections }
  return { ...spec, connections, requestsPerSecond: spec.requestsPerSecond * connections / spec.connections }
}
