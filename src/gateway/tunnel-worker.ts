// What a tunnel thread runs: one TunnelGateway, whose store and observer are in the main thread.

import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { SharedActiveCounts, type ActiveCells } from '../core/balance/active-counts.ts'
import { SharedEndpointStates } from '../core/balance/endpoint-states.ts'
import type { Admission as NodeAdmission, Claim } from '../core/identity/admission.ts'
import { Admission } from '../core/limit/admission.ts'
import type { AdmissionTables } from '../core/limit/admission-tables.ts'
import { SharedPace } from '../core/limit/shared-pace.ts'
import type { ConnectionRef, Scan, ScanRequest } from '../core/live/live-connection.ts'
import { WindowBudget } from '../core/mux/window.ts'
import type { SnapshotChange } from '../core/snapshot.ts'
import type { PeerGateway, ReachableFacts } from '../core/tunnel/presence-record.ts'
import type { TunnelFigures } from '../core/tunnel/tunnel-figures.ts'
import { socketOf } from '../relay/linux/handed-over-socket.ts'
import type { StreamDescriptors } from '../relay/linux/stream-descriptors.ts'
import { LinuxStreamSockets } from '../relay/linux/stream-sockets.ts'
import { PeerWatch } from '../relay/node/peer-watch.ts'
import type { EgressEntry } from '../tunnel/egress/egress-server.ts'
import type { Certificate } from '../tunnel/gateway/tunnel-gateway.ts'
import { TunnelSide, type SessionPlace, type TunnelSideOptions } from '../tunnel/gateway/tunnel-side.ts'
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
  readonly peering: TunnelSideOptions['peering']
  /** Of streams, beside the edge's connections. */
  readonly admission: AdmissionTables
  readonly admissionThread: number
  /** For `SharedPace`, over all threads. */
  readonly paceCell: BigInt64Array<SharedArrayBuffer>
  /** For `WindowBudget`, by thread. */
  readonly windowBytes: Int32Array<SharedArrayBuffer>
  /** Of its streams' sockets. */
  readonly descriptors: StreamDescriptors
  readonly active: ActiveCells
  /** This thread's in it. */
  readonly activeThread: number
}

/** What the main thread has it do. */
export interface TunnelThreadMethods {
  publish(changes: readonly SnapshotChange[]): void
  /** The descriptor is the thread's from here on; it says so by `taken`. */
  take(connection: { readonly fd: number; readonly head: Uint8Array }): void
  setCertificate(certificate: Certificate): void
  setGateways(gateways: readonly string[]): void
  setTunnelHostname(hostname: string): void
  revoke(keyId: string): void
  openEgress(entries: readonly EgressEntry[]): Promise<void>
  closeOtherEgress(names: readonly string[]): Promise<void>
  /** A session has begun elsewhere. */
  seen(session: { readonly facts: ReachableFacts; readonly place: SessionPlace }): void
  /** … and has ended. */
  gone(id: string): void
  gatewaySeen(gateway: PeerGateway): void
  gatewayGone(id: string): void
  linkThread(link: { readonly thread: number; readonly port: MessagePort; readonly role: 'client' | 'server' }): void
  closeSession(session: { readonly keyId: string; readonly id: string; readonly detail: string }): void
  scan(request: ScanRequest): Scan
  close(refs: readonly ConnectionRef[]): number
  figures(nothing: undefined): TunnelFigures
  drain(nothing: undefined): Promise<void>
  /** The thread ends by itself then. */
  stop(nothing: undefined): Promise<void>
  /** Throws as a bug would, to see what happens then. */
  crash(nothing: undefined): void
}

/** What it has the main thread do. */
export interface TunnelMainMethods {
  admit(claim: Claim): Promise<NodeAdmission>
  isRevoked(keyId: string): Promise<boolean>
  observed(events: readonly TunnelEvent[]): void
  taken(fd: number): void
  /** One that was taken is closed. */
  closed(nothing: undefined): void
}

function run(): void {
  if (parentPort === null) throw new Error('a tunnel thread is a thread of its own')
  const port = parentPort
  const { thread, threads, idPrefix, certificate, gateways, handshakesPerSecond, ticketSecret, peering, admission, admissionThread, paceCell, windowBytes, descriptors, active, activeThread }: TunnelWorkerData = workerData
  const peers = new PeerWatch()
  const events = new TunnelEventPoster((batch) => main.tell('observed', batch))
  const side = new TunnelSide({
    certificate, gateways, threads, idPrefix, peering,
    pace: new SharedPace({ ratePerSecond: handshakesPerSecond, cell: paceCell }),
    budget: new WindowBudget({ usedBytes: windowBytes, thread }),
    sockets: new LinuxStreamSockets(descriptors),
    admit: async (claim) => await main.call('admit', claim),
    isRevoked: async (keyId) => await main.call('isRevoked', keyId),
    admission: new Admission({ tables: admission, thread: admissionThread, nowNs: () => process.hrtime.bigint() }),
    observer: events,
    scheduling: { active: new SharedActiveCounts(active, activeThread), states: new SharedEndpointStates(active), schedulerOffset: activeThread },
    watchPeer: (socket) => peers.watch(socket),
    ...laneGrants(ticketSecret),
  })
  const main: ThreadCalls<TunnelThreadMethods, TunnelMainMethods> = new ThreadCalls<TunnelThreadMethods, TunnelMainMethods>(port, {
    publish: (changes) => {
      for (const change of changes) side.publish(change)
    },
    take: ({ fd, head }) => {
      main.tell('taken', fd)
      const socket = socketOf(fd, head)
      socket.once('close', () => main.tell('closed', undefined))
      side.take(socket)
    },
    setCertificate: (next) => side.setCertificate(next),
    setGateways: (next) => side.setGateways(next),
    setTunnelHostname: (next) => side.setTunnelHostname(next),
    revoke: (keyId) => side.revoke(keyId),
    closeSession: (session) => side.closeSession(session),
    openEgress: async (entries) => await side.openEgress(entries),
    closeOtherEgress: async (names) => await side.closeOtherEgress(names),
    seen: ({ facts, place }) => side.seen(facts, place),
    gone: (id) => side.gone(id),
    gatewaySeen: (other) => side.gatewaySeen(other),
    gatewayGone: (id) => side.gatewayGone(id),
    linkThread: ({ thread: other, port: to, role }) => side.linkThread(other, to, role),
    scan: (request) => side.scan(request),
    close: (refs) => side.close(refs),
    figures: () => side.figures(),
    drain: async () => await side.drain(),
    stop: async () => {
      await side.stop()
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
