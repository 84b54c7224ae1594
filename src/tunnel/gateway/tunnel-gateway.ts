// The gateway's side of the tunnel: connections that the edge hands over, TLS 1.3 and WebSocket on them, and who may have a
// session.
//
//   edge ─ socket ─▶ TLS ─▶ GET /v1/tunnel, Upgrade ─▶ paced? proven? admitted? ─▶ GatewaySession ─▶ API server
//                                                        503         401

import type { IncomingMessage } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Admission as NodeAdmission, Claim } from '../../core/identity/admission.ts'
import type { Admission } from '../../core/limit/admission.ts'
import type { SharedPace } from '../../core/limit/shared-pace.ts'
import { addMuxCounters, createMuxCounters } from '../../core/mux/limits.ts'
import type { LiveItems } from '../../core/live/live-items.ts'
import { drainDeadlineMs } from '../../core/live/spread.ts'
import type { WindowBudget } from '../../core/mux/window.ts'
import { canonicalAddress } from '../../core/net/ip-address.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import { applySnapshotChange, type SnapshotChangeOptions } from '../../core/snapshot-change.ts'
import type { Snapshot, SnapshotChange } from '../../core/snapshot.ts'
import type { Egress } from '../egress/egress.ts'
import { peerPath } from '../egress/peer-link.ts'
import { messageBytesMax } from '../websocket-wire.ts'
import { certificateClaim } from './client-certificate.ts'
import { provenClaim } from './credentials.ts'
import { GatewaySession, type GatewaySessionOptions } from './gateway-session.ts'
import { Handshakes } from './handshakes.ts'
import { SessionRegistry } from './session-registry.ts'
import { announcementFaults, announcementIn, without, type RefusedAnnouncement } from '../../core/tunnel/announcement.ts'
import { ticketLimits, type LaneGrant } from '../../core/tunnel/ticket.ts'
import { figuresOf, figuresOfSessions, type TunnelFigures } from '../../core/tunnel/tunnel-figures.ts'
import type { StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import type { SessionFacts, SessionRefusal, TunnelObserver } from '../../core/tunnel/tunnel-observer.ts'

const tunnelPath = '/v1/tunnel'
/** From the hand-over to the session. */
const handshakeMsMax = 10_000
/** Of a process, over all its threads: connections that are not sessions yet; more are reset. */
const handshakesMax = 2_000
/** Of a process, over all its threads. */
const sessionsMax = 20_000
/** From the go-away to the end of sessions without a stream: a round trip, generously. */
const drainGraceMs = 1_000
/** How often a drain looks for sessions whose last stream has ended, whoever had opened it. */
const drainCheckMs = 100
/** For sessions to say that they end, and for agents to close. */
const stopMsMax = 1_000
/** Told to agents that came too fast; their own jitter comes on top. */
const retryAfterSeconds = 1

/** What the gateway shows, and what it asks for. */
export interface Certificate {
  readonly certPem: string
  readonly keyPem: string
  /** Authorities of agents' certificates. Absent: agents are not asked for one. */
  readonly clientCaPem?: string
  /**
   * Of TLS session tickets, 48 random bytes: agents resume with any of the threads that share them. Another one with each
   * certificate, since a resumed session stands for what was verified when it began. @default random
   */
  readonly ticketKeys?: Uint8Array
}

export interface TunnelGatewayOptions {
  readonly certificate: Certificate
  /** That agents are told of; empty: they are told nothing. */
  readonly gateways: readonly string[]
  /** For a session's agent, to come by the direct lane; absent: there is none. */
  readonly grant?: (session: SessionFacts) => LaneGrant
  /** Sessions begun in a second, over all threads. */
  readonly pace: SharedPace
  /** Of the windows' growth, over all threads. */
  readonly budget: WindowBudget
  /** To API servers. */
  readonly sockets: StreamSockets
  /** Over all threads. @default 2_000 */
  readonly handshakesMax?: number
  /** @default 10_000 */
  readonly handshakeMsMax?: number
  /** Threads that share the process's sessions evenly. */
  readonly threads: number
  /** Of sessions' ids: unique for this thread. */
  readonly idPrefix: string
  readonly admit: (claim: Claim) => Promise<NodeAdmission>
  /** Asked once more when a session has begun: a node may have been revoked since it was admitted. */
  readonly isRevoked: (keyId: string) => Promise<boolean>
  /** Of streams to API servers; absent: there are no limits. */
  readonly admission?: Admission
  /** Ends a socket, to an API server or of one, whose peer has vanished; absent: the system does, much later where bytes are in flight. */
  readonly watchPeer?: ((socket: Socket) => void) | undefined
  readonly observer: TunnelObserver
  /** How this thread picks endpoints, and counts its connections to them. */
  readonly scheduling?: SnapshotChangeOptions
  /** Gets the streams of sessions. */
  readonly live: LiveItems
  /** Is told of sessions, which it opens streams on. */
  readonly egress: Pick<Egress, 'began' | 'gone' | 'since' | 'takenAddresses'>
  /** Another gateway asks for a link. @returns whether it has one */
  readonly upgradePeer: (request: IncomingMessage, socket: TLSSocket, head: Buffer) => boolean
}

export class TunnelGateway {
  readonly #options: TunnelGatewayOptions
  #server: Server
  readonly #webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: messageBytesMax, clientTracking: false })
  readonly #sessions = new SessionRegistry<GatewaySession>()
  #gateways: readonly string[]
  #begun = 0
  #sentAway = 0
  /** Of sessions that have ended. */
  readonly #ended = createMuxCounters()
  #handshakesRefused = 0
  readonly #handshakes: Handshakes
  /** All that were handed over and are open: sessions, and those that want to be. */
  readonly #sockets = new Set<Socket>()
  /** That `admit` and `isRevoked` have not answered; the agent may have left since. */
  #asked = 0
  #snapshot: Snapshot | undefined
  #phase: 'open' | 'draining' | 'stopped' = 'open'
  #whenEmpty: (() => void)[] = []

  constructor(options: TunnelGatewayOptions) {
    this.#options = options
    const { certificate, gateways } = options
    this.#gateways = gateways
    this.#handshakes = new Handshakes(options.handshakeMsMax ?? handshakeMsMax)
    this.#server = this.#createServer(certificate)
  }

  figures(): TunnelFigures {
    const { usedBytes, refusals } = this.#options.budget
    const sessions = this.#sessions.all.map(({ link }) => link.session)
    const counters = { ...this.#ended }
    for (const session of sessions) addMuxCounters(counters, session.counters)
    return figuresOf({
      ...counters, ...figuresOfSessions(sessions, performance.now()),
      handshakes: this.#handshakes.size, handshakesRefused: this.#handshakesRefused,
      windowGrowthBytes: usedBytes, windowGrowthRefusals: refusals,
      sessionsEvicted: this.#sessions.evicted,
    })
  }

  publish(change: SnapshotChange): void {
    const before = this.#snapshot
    this.#snapshot = applySnapshotChange(before, change, this.#options.scheduling)
    this.#options.admission?.publish(this.#snapshot.limits)
    const changed = new Set(change.tenants.map(({ name }) => name).filter((name) => mayAnnounceOf(before, name) !== mayAnnounceOf(this.#snapshot, name)))
    if (changed.size === 0) return
    for (const session of this.#sessions.all) if (changed.has(session.facts.tenant)) this.#judgeAgain(session)
  }

  /** What it announces is held against another configuration. No connection is touched. */
  #judgeAgain(session: GatewaySession): void {
    const faults = announcementFaults(session.announcement, session.facts.node, this.#snapshot?.tenants.get(session.facts.tenant)?.mayAnnounce)
    const announced = without(session.announcement, session.facts.node, faults)
    if (JSON.stringify(announced) === JSON.stringify(session.facts.announced)) return
    session.hold(announced, faults)
    // One that was sent away is asked for nothing new.
    if (this.#phase === 'open') this.#options.egress.began(session.facts, (handler) => session.open(handler))
    this.#options.observer.sessionChanged(session.facts)
    this.#tellRefused(session)
  }

  isTenant(name: string): boolean {
    return this.#snapshot?.tenants.get(name) !== undefined
  }

  /** Its `timeouts.drain`; 0 where there is no such tenant. */
  drainMs(name: string): number {
    return this.#snapshot?.tenants.get(name)?.drainTimeoutMs ?? 0
  }

  /** For connections from now on; none resumes a session of before. @throws where they don't belong together */
  setCertificate(certificate: Certificate): void {
    // Whether clients are asked for a certificate is for a server's life. It listens on nothing: there is nothing to close.
    this.#server = this.#createServer(certificate)
  }

  /** Tells every agent, where it is another list. */
  setGateways(gateways: readonly string[]): void {
    if (gateways.length === this.#gateways.length && gateways.every((gateway, index) => gateway === this.#gateways[index])) return
    this.#gateways = gateways
    for (const session of this.#sessions.all) session.tell({ gateways })
  }

  /** Takes over a connection to one of the tunnel's hostnames, of which nothing has been read. */
  take(socket: Socket): void {
    const isFull = this.#handshakes.size >= (this.#options.handshakesMax ?? handshakesMax) / this.#options.threads
    if (this.#phase === 'stopped' || isFull) {
      if (isFull) this.#handshakesRefused += 1
      socket.resetAndDestroy()
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    this.#handshakes.begin(socket)
    socket.on('error', () => undefined)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 15_000)
    this.#server.emit('connection', socket)
  }

  /** Ends a node's sessions: it has been revoked. */
  revoke(keyId: string): void {
    for (const session of this.#sessions.of(keyId)) session.close('the node has been revoked')
  }

  /** Ends one session, if it is still there. */
  closeSession({ keyId, id, detail }: { readonly keyId: string; readonly id: string; readonly detail: string }): void {
    this.#sessions.of(keyId).find(({ facts }) => facts.id === id)?.close(detail)
  }

  /**
   * Agents are told to go elsewhere. A session ends with its last stream, or in the second half of its tenant's `timeouts.drain`; resolves when none
   * is left.
   */
  async drain(): Promise<void> {
    this.#phase = 'draining'
    for (const session of this.#sessions.all) this.#sendAway(session)
    // Streams that agents opened before they heard of it are on their way.
    await delay(this.#sessions.size === 0 ? 0 : drainGraceMs)
    this.#endIdle()
    if (this.#sessions.size === 0) return
    const timer = setInterval(() => this.#endIdle(), drainCheckMs)
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve))
    clearInterval(timer)
  }

  /** Ends everything; who does not close in time is cut. Once it resolves, `admit` and `isRevoked` are asked no more, and have answered where they answer in time. */
  async stop(): Promise<void> {
    this.#phase = 'stopped'
    for (const session of this.#sessions.all) session.close('the gateway stops')
    const deadlineMs = performance.now() + stopMsMax
    while ((this.#sockets.size > 0 || this.#asked > 0) && performance.now() < deadlineMs) await delay(20)
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #createServer({ certPem, keyPem, clientCaPem, ticketKeys }: Certificate): Server {
    const server = createServer({
      ...(ticketKeys === undefined ? {} : { ticketKeys: Buffer.from(ticketKeys) }),
      cert: certPem, key: keyPem, minVersion: 'TLSv1.3', ALPNProtocols: ['http/1.1'],
      // Not required: most agents have a key. One that is wrong is answered, with the reason.
      ...(clientCaPem === undefined ? {} : { ca: clientCaPem, requestCert: true, rejectUnauthorized: false }),
    })
    server.on('request', (request, response) => {
      const isTunnel = request.url === tunnelPath
      response.writeHead(isTunnel ? 426 : 404, { ...(isTunnel ? { Upgrade: 'websocket' } : {}), Connection: 'close' }).end()
    })
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => void this.#upgrade(request, socket as TLSSocket, head))
    // Those that leave in the middle of their handshake.
    server.on('tlsClientError', () => undefined)
    return server
  }

  async #upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): Promise<void> {
    const { observer, admit, pace, threads, idPrefix } = this.#options
    const remote = socket.remoteAddress ?? 'unknown'
    const node = typeof request.headers['sluice-node'] === 'string' ? request.headers['sluice-node'].slice(0, 253) : undefined
    socket.on('error', () => undefined)
    const refuse = (status: string, reason: SessionRefusal, { headers = '', detail }: { readonly headers?: string; readonly detail?: string | undefined } = {}): void => {
      observer.sessionRefused(reason, { node, remote, detail })
      const body = JSON.stringify({ reason })
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`)
    }
    try {
      if (request.url === peerPath) {
        if (!this.#options.upgradePeer(request, socket, head)) return refuse('401 Unauthorized', 'not-a-peer')
        this.#handshakes.succeeded(socket)
        return
      }
      if (request.url !== tunnelPath) return refuse('404 Not Found', 'not-a-tunnel')
      if (this.#phase !== 'open') return refuse('503 Service Unavailable', 'draining', { headers: `Retry-After: ${retryAfterSeconds}\r\n` })
      if (this.#sessions.size >= sessionsMax / threads) return refuse('503 Service Unavailable', 'too-many-sessions', { headers: 'Retry-After: 30\r\n' })
      if (!pace.take(process.hrtime.bigint())) return refuse('503 Service Unavailable', 'paced', { headers: `Retry-After: ${retryAfterSeconds}\r\n` })
      const nowMs = Date.now()
      const claim = certificateClaim(socket, request.headers, nowMs)
        ?? provenClaim(request.headers, (bytes, label, context) => socket.exportKeyingMaterial(bytes, label, context))
      const announcement = announcementIn(request.headers)
      if ('malformed' in announcement) return refuse('400 Bad Request', 'malformed', { detail: announcement.malformed })
      const admission = claim.kind === 'refused' ? claim : await this.#answer(admit(claim))
      if (admission.kind === 'refused') {
        const { reason, detail } = admission
        return reason === 'too-many-nodes' ? refuse('503 Service Unavailable', reason, { headers: 'Retry-After: 60\r\n', detail }) : refuse('401 Unauthorized', reason, { detail })
      }
      if (socket.destroyed) return
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        const { tenant, name, keyId } = admission.node
        const faults = announcementFaults(announcement, name, this.#snapshot?.tenants.get(tenant)?.mayAnnounce)
        // An address that it has stays its own when it changes from one session to another.
        const sinceMs = this.#options.egress.since({ tenant, node: name, keyId }) ?? nowMs
        const facts = { id: `${idPrefix}${(++this.#begun).toString(36)}`, tenant, node: name, keyId, remote, sinceMs, announced: without(announcement, name, faults) }
        this.#tellRefused(this.#begin(webSocket, socket, { facts, announcement, faults, enrolled: admission.isNew }))
      })
    } catch (error) {
      observer.failed(error, `an agent’s session could not begin (${remote})`)
      socket.destroy()
    }
  }

  async #answer<Answer>(asked: Promise<Answer>): Promise<Answer> {
    this.#asked += 1
    try {
      return await asked
    } finally {
      this.#asked -= 1
    }
  }

  #begin(webSocket: WebSocket, socket: TLSSocket, { facts, announcement, faults, enrolled }: Pick<GatewaySessionOptions, 'facts' | 'announcement' | 'faults'> & { readonly enrolled: boolean }): GatewaySession {
    this.#handshakes.succeeded(socket)
    const { observer, egress } = this.#options
    const session = new GatewaySession({
      facts, announcement, faults, observer,
      socket: webSocket,
      raw: socket,
      budget: this.#options.budget,
      sockets: this.#options.sockets,
      agent: addressOf(socket.remoteAddress, socket.remotePort),
      gateway: addressOf(socket.localAddress, socket.localPort),
      tenant: () => this.#snapshot?.tenants.get(facts.tenant),
      admission: this.#options.admission,
      live: this.#options.live,
      ended: (ended) => {
        this.#sessions.remove(ended)
        egress.gone(facts.id)
        addMuxCounters(this.#ended, ended.link.session.counters)
        if (this.#sessions.size > 0) return
        for (const wake of this.#whenEmpty.splice(0)) wake()
      },
    })
    this.#sessions.add(session)
    egress.began(facts, (handler) => session.open(handler))
    observer.sessionStarted(facts, enrolled)
    if (this.#gateways.length > 0) session.tell({ gateways: this.#gateways })
    this.#offerLane(session)
    if (this.#phase === 'stopped') session.close('the gateway stops')
    else if (this.#phase === 'draining') this.#sendAway(session)
    this.#answer(this.#options.isRevoked(facts.keyId)).then((revoked) => {
      if (revoked) this.revoke(facts.keyId)
      return undefined
    }, (error: unknown) => {
      // Fail closed: who can't be looked up has no session.
      observer.failed(error, 'whether a node was revoked can not be read: its session ends')
      session.close('its node could not be looked up')
    })
    return session
  }

  /** Who has an address that the session announces is another node than before. */
  addressPassed({ id, keyId }: Pick<SessionFacts, 'id' | 'keyId'>): void {
    const session = this.#sessions.of(keyId).find(({ facts }) => facts.id === id)
    if (session !== undefined) this.#tellRefused(session)
  }

  /** What the configuration or another node has against its announcement: told where it is not what the agent was told before. */
  #tellRefused(session: GatewaySession): void {
    const { facts, faults, refused: before } = session
    const { observer, egress } = this.#options
    const refused = [...faults, ...egress.takenAddresses(facts.id).map(({ address, owner }) => ({ announced: address, why: `${owner} has it` }))]
    if (session.isOver || JSON.stringify(refused) === JSON.stringify(before)) return
    const has = (list: readonly RefusedAnnouncement[], { announced }: RefusedAnnouncement): boolean => list.some((each) => each.announced === announced)
    for (const each of refused) if (!has(before, each)) observer.announcementRefused(facts, each)
    for (const each of before) if (!has(refused, each)) observer.announcementHolds(facts, each.announced)
    session.tellRefused(refused)
  }

  /** Now, and again before the grant expires. */
  #offerLane(session: GatewaySession): void {
    const { grant } = this.#options
    if (grant === undefined || session.isOver) return
    session.tell({ lane: { ...grant(session.facts), clockMs: Date.now() } })
    // Half its life, less some: those that came together are not told together again.
    setTimeout(() => this.#offerLane(session), ticketLimits.grantLifeMs * (0.3 + 0.2 * Math.random())).unref()
  }

  #sendAway(session: GatewaySession): void {
    session.goAway()
    this.#options.egress.gone(session.facts.id)
    this.#options.observer.sessionLeaving(session.facts)
    const timer = setTimeout(() => session.close('the time to drain is over'), drainDeadlineMs(0, ++this.#sentAway, { drainTimeoutMs: this.drainMs(session.facts.tenant) }))
    timer.unref()
  }

  #endIdle(): void {
    for (const session of this.#sessions.all) if (session.link.session.streamCount === 0) session.close('drained')
  }
}

/** To be compared. */
function mayAnnounceOf(snapshot: Snapshot | undefined, tenant: string): string | undefined {
  return snapshot?.tenants.get(tenant)?.mayAnnounce?.join(' ')
}

function addressOf(address: string | undefined, port: number | undefined): SocketAddress {
  return { address: address === undefined ? '::' : canonicalAddress(address) ?? '::', port: port ?? 0 }
}
