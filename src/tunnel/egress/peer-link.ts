// A link to another gateway: streams for sessions that it has. Kept up for as long as the store has the other gateway.

import { WebSocket } from 'ws'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { WindowBudget } from '../../core/mux/window.ts'
import { Backoff } from '../../core/tunnel/backoff.ts'
import type { PeerGateway } from '../../core/tunnel/presence-record.ts'
import { MuxLink } from '../mux-link.ts'
import { openTcp, openTls } from '../open-connection.ts'
import { linkWebSocket, messageBytesMax, webSocketWire } from '../websocket-wire.ts'
import { linkLimits } from './link-limits.ts'
import { isProven, provePeer, type OwnIdentity } from './peer-identity.ts'

export const peerPath = '/v1/peer'
/** For TCP, TLS and the upgrade together. */
const connectMsMax = 5_000
/** Gateways are few and near: they look for each other often. */
const retry = { firstMs: 200, waitMsMax: 2_000 } as const
/** In a row, before it counts as down: a gateway that has just started is not known to all yet. */
const failuresToTell = 3

export interface PeerLinkOptions {
  readonly own: OwnIdentity
  readonly peer: PeerGateway
  /** Its listeners know the tunnel by this name. */
  /** Asked at each try. */
  readonly tunnelHostname: () => string
  readonly budget: WindowBudget
  /** It is up, or it is not, and why: once for each stretch. */
  readonly changed: (why: string | undefined) => void
}

export class PeerLink {
  readonly #options: PeerLinkOptions
  readonly #backoff = new Backoff({ ...retry, random: Math.random })
  readonly #closing = new AbortController()
  #link: MuxLink | undefined
  #timer: NodeJS.Timeout | undefined
  /** Undefined: nothing yet. */
  #told: 'up' | 'down' | undefined

  constructor(options: PeerLinkOptions) {
    this.#options = options
    void this.#connect()
  }

  get isUp(): boolean {
    return this.#link !== undefined
  }

  get streamCount(): number {
    return this.#link?.session.streamCount ?? 0
  }

  open(handler: StreamHandler): MuxStream | undefined {
    const stream = this.#link?.session.open(handler)
    return typeof stream === 'object' ? stream : undefined
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#closing.abort(new Error('closed'))
    this.#link?.closed('the other gateway is gone from the store, or this one stops')
  }

  async #connect(): Promise<void> {
    const { own, peer } = this.#options
    const tunnelHostname = this.#options.tunnelHostname()
    const title = `gateway ${peer.id}`
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(connectMsMax)])
    try {
      const tcp = await openTcp({ ...peer.at, title }, signal)
      // Whoever it is: its key is what counts, and is asked for below.
      const tls = await openTls(tcp, { host: tunnelHostname, port: peer.at.port, title }, { caPem: undefined, signal, mustBeTrusted: false, minVersion: 'TLSv1.3' })
      const socket = new WebSocket(`wss://${tunnelHostname}${peerPath}`, {
        createConnection: () => tls, perMessageDeflate: false, maxPayload: messageBytesMax, generateMask: (mask) => mask.fill(0),
        headers: { 'Sluice-Gateway': own.id, 'Sluice-Proof': provePeer(tls, own, peer.id, 'client') },
      })
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      socket.on('error', reject)
      socket.on('close', () => reject(new Error('closed before there was a link')))
      socket.once('unexpected-response', (_request, response) => reject(new Error(`${title} answered ${response.statusCode}`)))
      socket.once('upgrade', ({ headers }) => {
        if (!isProven(tls, { proof: headers['sluice-proof'], prover: peer, verifier: own.id, role: 'server' })) reject(new Error(`${title} has not proven its key`))
      })
      socket.once('open', resolve)
      signal.addEventListener('abort', () => reject(signal.reason as Error))
      try {
        await promise
      } catch (error) {
        tls.destroy()
        throw error
      }
      if (this.#closing.signal.aborted) tls.destroy()
      else this.#begin(socket, tls)
    } catch (error) {
      this.#again(error instanceof Error ? error.message : String(error))
    }
  }

  #begin(socket: WebSocket, tls: Parameters<typeof webSocketWire>[1]): void {
    const link = new MuxLink({
      role: 'client', wire: webSocketWire(socket, tls, 'client'), budget: this.#options.budget, limits: linkLimits,
      // Each end opens streams on links of its own.
      opened: () => undefined,
      goingAway: () => undefined,
      ended: (end) => {
        this.#link = undefined
        this.#again('detail' in end ? end.detail : end.reason)
      },
    })
    linkWebSocket(socket, link)
    this.#link = link
    this.#backoff.succeeded()
    this.#told = 'up'
    this.#options.changed(undefined)
  }

  #again(why: string): void {
    if (this.#closing.signal.aborted) return
    const waitMs = this.#backoff.failed()
    if (this.#told !== 'down' && (this.#told === 'up' || this.#backoff.failures >= failuresToTell)) {
      this.#told = 'down'
      this.#options.changed(why)
    }
    this.#timer = setTimeout(() => void this.#connect(), waitMs)
    this.#timer.unref()
  }
}
