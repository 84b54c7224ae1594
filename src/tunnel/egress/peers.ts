// The other gateways of the installation, as one thread has them: a link to each, and those that they have to this one.
//
// One that is gone from the store gets and opens nothing new, and what goes on by its links may go on: a store that is away, or a
// lease that has run out, must not cut what is alive. One that is dead is noticed by its links.

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

/** Gateways that are linked to; of more, one when another is gone: those that drain count as long as they have streams. */
const peersMax = 64
/** More are forgotten. */
const waitingMax = 256
/** How often one that is gone is looked at for its last stream. */
const goneCheckMs = 1_000
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

interface Known {
  readonly gateway: PeerGateway
  readonly link: PeerLink
  readonly from: Set<MuxLink>
  /** It is gone from the store. */
  leaving: NodeJS.Timeout | undefined
}

export class Peers {
  readonly #options: PeersOptions
  #tunnelHostname: string
  readonly #gateways = new Map<string, Known>()
  readonly #waiting = new Map<string, PeerGateway>()
  readonly #webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: messageBytesMax, clientTracking: false })
  readonly #proofs = new WeakMap<IncomingMessage, string>()

  constructor(options: PeersOptions) {
    this.#options = options
    this.#tunnelHostname = options.tunnelHostname
    this.#webSockets.on('headers', (headers, request) => headers.push(`Sluice-Proof: ${this.#proofs.get(request) ?? ''}`))
  }

  /** For links from now on. */
  setTunnelHostname(hostname: string): void {
    this.#tunnelHostname = hostname
  }

  /** It is in the store, perhaps again. */
  seen(gateway: PeerGateway): void {
    const { own, budget, linkChanged } = this.#options
    const known = this.#gateways.get(gateway.id)
    if (known !== undefined && isSame(known.gateway, gateway)) {
      clearInterval(known.leaving)
      known.leaving = undefined
      return
    }
    if (known !== undefined) this.#drop(known)
    if (this.#gateways.size >= peersMax) {
      if (this.#waiting.size < waitingMax) this.#waiting.set(gateway.id, gateway)
      linkChanged(gateway.id, `${peersMax} other gateways are linked already`)
      return
    }
    this.#waiting.delete(gateway.id)
    const link = new PeerLink({ own, peer: gateway, tunnelHostname: () => this.#tunnelHostname, budget, changed: (why) => linkChanged(gateway.id, why) })
    this.#gateways.set(gateway.id, { gateway, link, from: new Set(), leaving: undefined })
  }

  gone(id: string): void {
    this.#waiting.delete(id)
    const known = this.#gateways.get(id)
    if (known === undefined || known.leaving !== undefined) return
    const isIdle = (): boolean => known.link.streamCount === 0 && [...known.from].every(({ session }) => session.streamCount === 0)
    if (isIdle()) {
      this.#drop(known)
      return
    }
    known.leaving = setInterval(() => {
      if (isIdle()) this.#drop(known)
    }, goneCheckMs)
    known.leaving.unref()
  }

  #drop({ gateway, link, from, leaving }: Known): void {
    clearInterval(leaving)
    this.#gateways.delete(gateway.id)
    link.close()
    for (const each of from) each.closed('the gateway is gone from the store')
    const [next] = this.#waiting.values()
    if (next !== undefined) this.seen(next)
  }

  /** To one of its sessions. */
  open(id: string, handler: StreamHandler): MuxStream | undefined {
    const known = this.#gateways.get(id)
    return known === undefined || known.leaving !== undefined ? undefined : known.link.open(handler)
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
    if (known === undefined || known.leaving !== undefined || known.from.size >= linksFromMax) return false
    if (!isProven(socket, { proof: request.headers['sluice-proof'], prover: known.gateway, verifier: own.id, role: 'client' })) return false
    this.#proofs.set(request, provePeer(socket, own, known.gateway.id, 'server'))
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const link: MuxLink = new MuxLink({
        role: 'server', wire: webSocketWire(webSocket, socket, 'server'), budget, limits: linkLimits,
        opened: (stream) => known.leaving === undefined ? relayed(stream) : undefined,
        goingAway: () => undefined,
        ended: () => void known.from.delete(link),
      })
      known.from.add(link)
      linkWebSocket(webSocket, link)
    })
    return true
  }

  stop(): void {
    this.#waiting.clear()
    for (const known of Array.from(this.#gateways.values())) this.#drop(known)
  }
}

function isSame(one: PeerGateway, other: PeerGateway): boolean {
  return Buffer.from(one.publicKey).equals(other.publicKey) && one.at.host === other.at.host && one.at.port === other.at.port
}
