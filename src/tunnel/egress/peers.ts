// The other gateways of the installation, as one thread has them: a link to each, and those that they have to this one.

import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { WebSocketServer } from 'ws'
import type { WindowBudget } from '../../core/mux/window.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { PeerGateway } from '../../core/tunnel/presence-record.ts'
import { MuxLink } from '../mux-link.ts'
import { linkWebSocket, messageBytesMax, webSocketWire } from '../websocket-wire.ts'
import { linkLimits } from './link-limits.ts'
import { isProven, provePeer, type OwnIdentity } from './peer-identity.ts'
import { PeerLink } from './peer-link.ts'

/** Gateways of an installation; more are not linked to. */
const peersMax = 64
/** From one gateway at one time: one for each of its threads, and those that are not known to be dead yet. */
const linksFromMax = 128

export interface PeersOptions {
  readonly own: OwnIdentity
  readonly tunnelHostname: string
  readonly budget: WindowBudget
  /** What becomes of a stream that another gateway has opened. */
  readonly relayed: (stream: MuxStream) => StreamHandler
  /** A link is up, or is not, and why. */
  readonly linkChanged: (gatewayId: string, why: string | undefined) => void
}

export class Peers {
  readonly #options: PeersOptions
  readonly #gateways = new Map<string, { readonly gateway: PeerGateway; readonly link: PeerLink; readonly from: Set<MuxLink> }>()
  readonly #webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: messageBytesMax, clientTracking: false })
  readonly #proofs = new WeakMap<IncomingMessage, string>()

  constructor(options: PeersOptions) {
    this.#options = options
    this.#webSockets.on('headers', (headers, request) => headers.push(`Sluice-Proof: ${this.#proofs.get(request) ?? ''}`))
  }

  /** In place of one with the same id. */
  seen(gateway: PeerGateway): void {
    const { own, tunnelHostname, budget, linkChanged } = this.#options
    this.gone(gateway.id)
    if (this.#gateways.size >= peersMax) {
      linkChanged(gateway.id, `${peersMax} other gateways are linked already`)
      return
    }
    const link = new PeerLink({ own, peer: gateway, tunnelHostname, budget, changed: (why) => linkChanged(gateway.id, why) })
    this.#gateways.set(gateway.id, { gateway, link, from: new Set() })
  }

  gone(id: string): void {
    const known = this.#gateways.get(id)
    this.#gateways.delete(id)
    known?.link.close()
    for (const link of known?.from ?? []) link.closed('the gateway is gone from the store')
  }

  /** To one of its sessions. */
  open(id: string, handler: StreamHandler): MuxStream | undefined {
    return this.#gateways.get(id)?.link.open(handler)
  }

  /** That are up, of this one's to others. */
  get linksUp(): number {
    return [...this.#gateways.values()].filter(({ link }) => link.isUp).length
  }

  /**
   * Another gateway asks for a link.
   * @returns whether it has one
   */
  upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): boolean {
    const { own, budget, relayed } = this.#options
    const id = request.headers['sluice-gateway']
    const known = typeof id === 'string' ? this.#gateways.get(id) : undefined
    if (known === undefined || known.from.size >= linksFromMax) return false
    if (!isProven(socket, { proof: request.headers['sluice-proof'], prover: known.gateway, verifier: own.id, role: 'client' })) return false
    this.#proofs.set(request, provePeer(socket, own, known.gateway.id, 'server'))
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const link: MuxLink = new MuxLink({
        role: 'server', wire: webSocketWire(webSocket, socket, 'server'), budget, limits: linkLimits,
        opened: relayed,
        goingAway: () => undefined,
        ended: () => void known.from.delete(link),
      })
      known.from.add(link)
      linkWebSocket(webSocket, link)
    })
    return true
  }

  stop(): void {
    for (const id of Array.from(this.#gateways.keys())) this.gone(id)
  }
}
