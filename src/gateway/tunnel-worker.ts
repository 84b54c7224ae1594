// What a tunnel thread runs: one TunnelGateway, whose store and observer are in the main thread.

import { parentPort, workerData } from 'node:worker_threads'
import type { Admission, Claim } from '../core/identity/admission.ts'
import { SharedPace } from '../core/limit/shared-pace.ts'
import { WindowBudget } from '../core/mux/window.ts'
import type { SnapshotChange } from '../core/snapshot.ts'
import type { TunnelFigures } from '../core/tunnel/tunnel-figures.ts'
import { socketOf } from '../relay/linux/handed-over-socket.ts'
import { TunnelGateway, type Certificate } from '../tunnel/gateway/tunnel-gateway.ts'
import { laneGrants } from './lane-grants.ts'
import { ThreadCalls } from './thread-calls.ts'
import { TunnelEventPoster, type TunnelEvent } from './tunnel-events.ts'

/** Cloned to the thread when it starts. */
export interface TunnelWorkerData {
  readonly thread: number
  readonly threads: number
  readonly idPrefix: string
  readonly certificate: Certificate
  readonly gateways: readonly string[]
  readonly handshakesPerSecond: number
  /** For grants; absent: there is no direct lane. */
  readonly ticketSecret: Uint8Array | undefined
  /** For `SharedPace`, over all threads. */
  readonly paceCell: BigInt64Array<SharedArrayBuffer>
  /** For `WindowBudget`, by thread. */
  readonly windowBytes: Int32Array<SharedArrayBuffer>
}

/** What the main thread has it do. */
export interface TunnelThreadMethods {
  publish(changes: readonly SnapshotChange[]): void
  /** The descriptor is the thread's from here on; it says so by `taken`. */
  take(connection: { readonly fd: number; readonly head: Uint8Array }): void
  setCertificate(certificate: Certificate): void
  setGateways(gateways: readonly string[]): void
  revoke(keyId: string): void
  closeSession(session: { readonly keyId: string; readonly id: string; readonly detail: string }): void
  figures(nothing: undefined): TunnelFigures
  drain(nothing: undefined): Promise<void>
  /** The thread ends by itself then. */
  stop(nothing: undefined): Promise<void>
  /** Throws as a bug would, to see what happens then. */
  crash(nothing: undefined): void
}

/** What it has the main thread do. */
export interface TunnelMainMethods {
  admit(claim: Claim): Promise<Admission>
  isRevoked(keyId: string): Promise<boolean>
  observed(events: readonly TunnelEvent[]): void
  taken(fd: number): void
  /** One that was taken is closed. */
  closed(nothing: undefined): void
}

function run(): void {
  if (parentPort === null) throw new Error('a tunnel thread is a thread of its own')
  const port = parentPort
  const { thread, threads, idPrefix, certificate, gateways, handshakesPerSecond, ticketSecret, paceCell, windowBytes }: TunnelWorkerData = workerData
  const events = new TunnelEventPoster((batch) => main.tell('observed', batch))
  const gateway = new TunnelGateway({
    certificate, gateways, threads, idPrefix,
    pace: new SharedPace({ ratePerSecond: handshakesPerSecond, cell: paceCell }),
    budget: new WindowBudget({ usedBytes: windowBytes, thread }),
    admit: async (claim) => await main.call('admit', claim),
    isRevoked: async (keyId) => await main.call('isRevoked', keyId),
    observer: events,
    ...laneGrants(ticketSecret),
  })
  const main: ThreadCalls<TunnelThreadMethods, TunnelMainMethods> = new ThreadCalls<TunnelThreadMethods, TunnelMainMethods>(port, {
    publish: (changes) => {
      for (const change of changes) gateway.publish(change)
    },
    take: ({ fd, head }) => {
      main.tell('taken', fd)
      const socket = socketOf(fd, head)
      socket.once('close', () => main.tell('closed', undefined))
      gateway.take(socket)
    },
    setCertificate: (next) => gateway.setCertificate(next),
    setGateways: (next) => gateway.setGateways(next),
    revoke: (keyId) => gateway.revoke(keyId),
    closeSession: (session) => gateway.closeSession(session),
    figures: () => gateway.figures(),
    drain: async () => await gateway.drain(),
    stop: async () => {
      await gateway.stop()
      events.flush()
      setImmediate(() => port.close())
    },
    crash: () => {
      setImmediate(() => {
        throw new Error('a crash that was asked for')
      })
    },
  })
}

run()
