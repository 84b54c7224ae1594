// The agent's direct lane: a TCP connection of its own to a gateway for each connection of the node, begun with a ticket of the
// session and relayed by a driver of src/relay, which the composition root gives.
//
//   node ─▶ driver's listener ── ticket, bytes ──▶ gateway of a session that is up
//              └─ none, or none answers: taken back, to go through the session itself

import type { Socket } from 'node:net'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { ConnectionRecord } from '../../core/connection-record.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { ForwardedEnd, ForwardedRecord } from '../../core/tunnel/agent-observer.ts'
import { LaneHealth } from '../../core/tunnel/lane-health.ts'
import type { GatewayLink } from './gateway-link.ts'

export interface LaneRelayEvents {
  /** No gateway has answered it; the socket is the taker's, with what was read of it in front. */
  readonly handedOver: (record: ConnectionRecord, socket: Socket) => void
  readonly ended: (record: ConnectionRecord) => void
}

export interface LaneRelay {
  /** @param name in the records of its connections. @returns the bound address */
  listen(name: string, address: SocketAddress): Promise<SocketAddress>
  /** For connections from now on, in turn. */
  use(gateways: readonly Endpoint[]): void
  openConnections(name: string): number
  stop(): Promise<void>
}

export type CreateLaneRelay = (events: LaneRelayEvents) => Promise<LaneRelay>

/** What it does for one address that the node dials. */
export interface LaneClient {
  /** From the lane, to go through a session. */
  take(socket: Socket): void
  ended(record: ForwardedRecord): void
}

export class DirectLane {
  readonly #health = new LaneHealth()
  readonly #clients = new Map<string, LaneClient>()
  readonly #links: () => readonly GatewayLink[]
  readonly #create: CreateLaneRelay
  #relay: LaneRelay | undefined
  #timer: NodeJS.Timeout | undefined

  constructor({ links, create }: { readonly links: () => readonly GatewayLink[]; readonly create: CreateLaneRelay }) {
    this.#links = links
    this.#create = create
  }

  async listen(name: string, address: SocketAddress, client: LaneClient): Promise<SocketAddress> {
    this.#relay ??= await this.#create({ handedOver: (record, socket) => this.#handedOver(record, socket), ended: (record) => this.#ended(record) })
    this.#clients.set(name, client)
    return await this.#relay.listen(name, address)
  }

  openConnections(name: string): number {
    return this.#relay?.openConnections(name) ?? 0
  }

  /** Sessions have come, gone, or been granted something. */
  refresh(): void {
    const isUsable = this.#health.isUsable(performance.now())
    this.#relay?.use(isUsable ? this.#links().flatMap((link) => link.laneEndpoint ?? []) : [])
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#relay?.stop()
  }

  #handedOver(record: ConnectionRecord, socket: Socket): void {
    if (record.attempts > 0) {
      const nowMs = performance.now()
      const untilMs = this.#health.failed(nowMs)
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.refresh(), untilMs - nowMs)
      this.#timer.unref()
      this.refresh()
    }
    const client = this.#clients.get(record.listener)
    if (client === undefined) socket.resetAndDestroy()
    else client.take(socket)
  }

  #ended(record: ConnectionRecord): void {
    if (record.bytesFromUpstream > 0) this.#health.worked()
    if (record.reason === 'handed-over') return
    this.#clients.get(record.listener)?.ended({
      client: record.client, lane: 'direct', status: record.connectMs === undefined ? undefined : 200, end: endOf(record),
      toUpstreamBytes: record.bytesFromDownstream, fromUpstreamBytes: record.bytesFromUpstream,
    })
  }
}

function endOf({ reason, closedBy }: ConnectionRecord): ForwardedEnd {
  if (reason === 'completed') return 'completed'
  return closedBy === 'downstream' ? 'socket-reset' : 'stream-reset'
}
