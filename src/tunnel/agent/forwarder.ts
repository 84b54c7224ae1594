// Connections of the node (kubelet, kube-proxy, pods) to the advertised address, each as a stream to the tenant's API server.
//
//   accepted ─▶ a session? ── none within the wait ─▶ RST
//                  └─▶ stream: CONNECT, and what the client has said already ─▶ 200: relay · else: RST

import type { Socket } from 'node:net'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import { formatSocketAddress, type SocketAddress } from '../../core/net/socket-address.ts'
import { ConnectHeadReader, connectAnswerIn, encodeConnectRequest } from '../../core/tunnel/connect-head.ts'
import type { ForwardFacts, ForwardedEnd, ForwardedRecord } from '../../core/tunnel/agent-observer.ts'
import type { SocketListener, StreamSocket, StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import type { DirectLane } from './direct-lane.ts'
import { NodeSocket } from '../node-sockets.ts'
import { SocketRelay, type RelayOwner, type SocketRelayTotals } from '../socket-relay.ts'

/** The gateway sends every forward stream to its session's tenant; this says no more than that. */
const connectTarget = 'kubernetes:6443'
export type Lane = 'mux' | 'direct' | 'auto'

/** For a session to come up, while there is none. */
const sessionWaitMs = 5_000
/** Connections that wait for one; more are reset at once. */
const waitingMax = 1_000
/** Connections that wait to be accepted. */
const backlogMax = 511

export interface ForwarderOptions {
  readonly sockets: StreamSockets
  readonly listen: SocketAddress
  /** auto: by the direct lane, and through a session where that has no way to go. @default mux */
  readonly lane?: Lane
  readonly direct: DirectLane | undefined
  /** @returns undefined while no session can carry one */
  readonly open: (handler: StreamHandler) => MuxStream | undefined
  readonly ended: (record: ForwardedRecord) => void
  /** A connection could not be accepted; the next one may be. */
  readonly failed: (error: Error) => void
}

export class Forwarder implements ForwardFacts {
  readonly #options: ForwarderOptions
  #listener: SocketListener | undefined
  /** Those that have a stream. */
  readonly #streaming = new Set<ForwardedConnection>()
  #bound: SocketAddress | undefined
  /** Of those that have ended. */
  #toUpstreamBytes = 0
  #fromUpstreamBytes = 0
  #waiting: { readonly socket: StreamSocket; readonly timer: NodeJS.Timeout }[] = []

  constructor(options: ForwarderOptions) {
    this.#options = options
  }

  /** @throws an error that names the address */
  async bind(): Promise<SocketAddress> {
    const { sockets, listen, direct } = this.#options
    try {
      if (direct !== undefined) return this.#bound = await direct.listen(this.#name, listen, { take: (socket) => this.#takeBack(socket), ended: (record) => this.#endedDirectly(record) })
      this.#listener = await sockets.listen({ at: listen, backlog: backlogMax, accepted: (socket) => this.#begin(socket), dropped: () => undefined, failed: this.#options.failed })
    } catch (error) {
      throw new Error(`forward: ${formatSocketAddress(listen)} can't be bound: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
    this.#bound = this.#listener.bound ?? listen
    return this.#bound
  }

  get listen(): SocketAddress {
    return this.#options.listen
  }

  get bound(): SocketAddress | undefined {
    return this.#bound
  }

  get waitingCount(): number {
    return this.#waiting.length
  }

  get toUpstreamBytes(): number {
    return [...this.#streaming].reduce((sum, { totals }) => sum + totals.fromSocketBytes, this.#toUpstreamBytes)
  }

  get fromUpstreamBytes(): number {
    return [...this.#streaming].reduce((sum, { totals }) => sum + totals.toSocketBytes, this.#fromUpstreamBytes)
  }

  get connectionCount(): number {
    return this.#streaming.size + this.#waiting.length + (this.#options.direct?.openConnections(this.#name) ?? 0)
  }

  get #name(): string {
    return formatSocketAddress(this.#options.listen)
  }

  /** A session is up: those that wait are served. */
  sessionUp(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { socket, timer } of waiting) {
      clearTimeout(timer)
      this.#begin(socket)
    }
  }

  close(): void {
    this.#listener?.close()
    for (const { socket, timer } of this.#waiting) {
      clearTimeout(timer)
      socket.reset()
    }
    this.#waiting = []
    for (const each of this.#streaming) each.cut()
  }

  #takeBack(socket: Socket): void {
    socket.pause()
    socket.allowHalfOpen = true
    if (this.#options.lane === 'auto') {
      this.#begin(new NodeSocket(socket))
      return
    }
    const client: SocketAddress = { address: socket.remoteAddress ?? '::', port: socket.remotePort ?? 0 }
    this.#options.ended({ client, lane: 'direct', status: undefined, end: 'no-session', toUpstreamBytes: 0, fromUpstreamBytes: 0 })
    socket.resetAndDestroy()
  }

  #endedDirectly(record: ForwardedRecord): void {
    this.#toUpstreamBytes += record.toUpstreamBytes
    this.#fromUpstreamBytes += record.fromUpstreamBytes
    this.#options.ended(record)
  }

  readonly #connectionEnded: ConnectionEnded = (connection, end) => {
    const { client, status, totals: { fromSocketBytes: toUpstreamBytes, toSocketBytes: fromUpstreamBytes } } = connection
    this.#streaming.delete(connection)
    this.#toUpstreamBytes += toUpstreamBytes
    this.#fromUpstreamBytes += fromUpstreamBytes
    this.#options.ended({ client, lane: 'mux', status, end, toUpstreamBytes, fromUpstreamBytes })
  }

  #begin(socket: StreamSocket): void {
    const forwarded = new ForwardedConnection(socket, this.#connectionEnded)
    const stream = this.#options.open(forwarded)
    if (stream !== undefined) {
      this.#streaming.add(forwarded)
      forwarded.begin(stream)
      return
    }
    if (this.#waiting.length >= waitingMax) {
      forwarded.refuse('no-session')
      return
    }
    const timer = setTimeout(() => {
      this.#waiting = this.#waiting.filter((each) => each.socket !== socket)
      forwarded.refuse('no-session')
    }, sessionWaitMs)
    this.#waiting.push({ socket, timer })
  }
}

type ConnectionEnded = (connection: ForwardedConnection, end: ForwardedEnd) => void

/** It has left already. */
const unknownClient: SocketAddress = { address: '::', port: 0 }

const nothingYet: SocketRelayTotals = { toSocketBytes: 0, fromSocketBytes: 0 }

/** One of them, from the opening of its stream on. */
class ForwardedConnection implements StreamHandler, RelayOwner {
  readonly #socket: StreamSocket
  readonly #ended: ConnectionEnded
  readonly client: SocketAddress
  #head: ConnectHeadReader | undefined = new ConnectHeadReader()
  #stream: MuxStream | undefined
  #relay: SocketRelay | undefined
  /** The gateway's answer. */
  status: number | undefined
  #isEnded = false

  constructor(socket: StreamSocket, ended: ConnectionEnded) {
    this.#socket = socket
    this.client = socket.peer ?? unknownClient
    this.#ended = ended
  }

  get totals(): SocketRelayTotals {
    return this.#relay ?? nothingYet
  }

  /** What the client says goes right behind the head: no round trip is waited for. */
  begin(stream: MuxStream): void {
    this.#stream = stream
    stream.write(encodeConnectRequest(connectTarget))
    this.#relay = new SocketRelay(stream, this.#socket, this)
  }

  data(bytes: Uint8Array): void {
    const head = this.#head?.push(bytes)
    this.#stream?.consumed(bytes.length - (head?.kind === 'head' ? head.rest.length : 0))
    if (head === undefined) return
    this.#head = undefined
    this.status = head.kind === 'head' ? connectAnswerIn(head.firstLine)?.status : undefined
    if (head.kind !== 'head' || this.status !== 200 || this.#stream === undefined) {
      this.#stream?.reset()
      this.refuse('refused')
      return
    }
    this.#stream.handler = this.#relay
    if (head.rest.length > 0) this.#relay?.data(head.rest)
  }

  finished(): void {
    // Before there was an answer.
    this.reset()
  }

  reset(): void {
    this.#relay?.reset()
  }

  writable(): void {
    this.#relay?.writable()
  }

  refuse(end: 'refused' | 'no-session'): void {
    this.relayEnded(end)
    this.#socket.reset()
  }

  /** Ends it now. */
  cut(): void {
    this.#socket.reset()
    this.#relay?.closed(false)
  }

  relayEnded(end: ForwardedEnd): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#ended(this, end)
  }
}
