// All that one thread has of the tunnel: agents' sessions, the egress to them, and the links to where other sessions are.
//
//   TunnelGateway ── a session began, ended ──▶ Egress ── to elsewhere ──▶ links to threads (ThreadLink), to gateways (Peers)

import type { Socket } from 'node:net'
import type { MessagePort } from 'node:worker_threads'
import type { ConnectionRef, Scan, ScanRequest } from '../../core/live/live-connection.ts'
import { LiveItems } from '../../core/live/live-items.ts'
import type { SnapshotChange } from '../../core/snapshot.ts'
import type { PeerGateway, ReachableFacts } from '../../core/tunnel/presence-record.ts'
import type { TunnelFigures } from '../../core/tunnel/tunnel-figures.ts'
import { Egress } from '../egress/egress.ts'
import type { EgressEntry } from '../egress/egress-server.ts'
import { Peers } from '../egress/peers.ts'
import type { OwnIdentity } from '../egress/peer-identity.ts'
import { ThreadLink } from '../egress/thread-link.ts'
import { TunnelGateway, type Certificate, type TunnelGatewayOptions } from './tunnel-gateway.ts'

export interface TunnelSideOptions extends Omit<TunnelGatewayOptions, 'egress' | 'live' | 'upgradePeer'> {
  /** For links with other gateways; absent: there are none. */
  readonly peering?: { readonly own: OwnIdentity; readonly tunnelHostname: string } | undefined
}

/** Where a session is that is not this thread's. */
export type SessionPlace = { readonly kind: 'thread'; readonly thread: number } | { readonly kind: 'gateway'; readonly id: string }

export class TunnelSide {
  readonly #gateway: TunnelGateway
  readonly #egress: Egress
  readonly #peers: Peers | undefined
  readonly #options: TunnelSideOptions
  readonly #threads = new Map<number, ThreadLink>()
  readonly #live = new LiveItems()

  constructor(options: TunnelSideOptions) {
    this.#options = options
    const { budget, sockets, observer, peering, watchPeer, idPrefix } = options
    const live = this.#live
    this.#egress = new Egress({ live, idPrefix, isTenant: (name) => this.#gateway.isTenant(name), drainMs: (name) => this.#gateway.drainMs(name), sockets, watchPeer, observer, addressPassed: (session) => this.#gateway.addressPassed(session) })
    this.#peers = peering === undefined ? undefined : new Peers({ ...peering, budget, relayed: (stream) => this.#egress.relayed(stream, 'gateway'), linkChanged: (id, why) => observer.peerLinkChanged(id, why) })
    this.#gateway = new TunnelGateway({ ...options, live, egress: this.#egress, upgradePeer: (request, socket, head) => this.#peers?.upgrade(request, socket, head) ?? false })
  }

  publish(change: SnapshotChange): void {
    this.#gateway.publish(change)
    this.#egress.published()
  }

  setCertificate(certificate: Certificate): void {
    this.#gateway.setCertificate(certificate)
  }

  setGateways(gateways: readonly string[]): void {
    this.#gateway.setGateways(gateways)
  }

  /** That other gateways are asked for, by links from now on. */
  setTunnelHostname(hostname: string): void {
    this.#peers?.setTunnelHostname(hostname)
  }

  /** As `TunnelGateway.take`. */
  take(socket: Socket): void {
    this.#gateway.take(socket)
  }

  revoke(keyId: string): void {
    this.#gateway.revoke(keyId)
  }

  /** Streams of agents, and connections of API servers. */
  scan(request: ScanRequest): Scan {
    return this.#live.scan(request)
  }

  /** @returns how many of them there were still */
  close(refs: readonly ConnectionRef[]): number {
    return this.#live.close(refs)
  }

  closeSession(session: Parameters<TunnelGateway['closeSession']>[0]): void {
    this.#gateway.closeSession(session)
  }

  /** As `Egress.open`. */
  async openEgress(entries: readonly EgressEntry[]): Promise<void> {
    await this.#egress.open(entries)
  }

  async closeOtherEgress(names: readonly string[]): Promise<void> {
    await this.#egress.closeOthers(names)
  }

  gatewaySeen(gateway: PeerGateway): void {
    this.#peers?.seen(gateway)
  }

  gatewayGone(id: string): void {
    this.#peers?.gone(id)
  }

  figures(): TunnelFigures {
    const { connections, dials } = this.#egress.figures()
    return { ...this.#gateway.figures(), egressConnections: connections, egressDials: dials, peerLinks: this.#peers?.linksUp ?? 0 }
  }

  /** In place of one to the thread that was there before. */
  linkThread(thread: number, port: MessagePort, role: 'client' | 'server'): void {
    this.#threads.get(thread)?.close()
    this.#threads.set(thread, new ThreadLink({ port, role, budget: this.#options.budget, relayed: (stream) => this.#egress.relayed(stream, 'thread') }))
  }

  /** A session has begun elsewhere. */
  seen(session: ReachableFacts, place: SessionPlace): void {
    if (place.kind === 'thread') this.#egress.seen(session, { distance: 1, open: (handler) => this.#threads.get(place.thread)?.open(handler) })
    else this.#egress.seen(session, { distance: 2, open: (handler) => this.#peers?.open(place.id, handler) })
  }

  /** … and has ended. */
  gone(id: string): void {
    this.#egress.gone(id)
  }

  async drain(): Promise<void> {
    await Promise.all([this.#egress.drain(), this.#gateway.drain()])
  }

  async stop(): Promise<void> {
    await this.#egress.stop()
    // Their links are connections that the gateway waits for.
    this.#peers?.stop()
    await this.#gateway.stop()
    for (const link of this.#threads.values()) link.close()
  }
}
