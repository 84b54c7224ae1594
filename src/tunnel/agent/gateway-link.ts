// The agent's session with one gateway, and the way back to it: connects, shows who the node is, and after each end tries
// again with full jitter.
//
//   connecting ─▶ up ─▶ ended ─▶ waiting ─▶ connecting
//       │          └──▶ draining (no new streams) ─▶ closed
//       └── refused, unreachable ─▶ waiting

import type { TLSSocket } from 'node:tls'
import type { WebSocket } from 'ws'
import type { Announced } from '../../core/egress/agent-table.ts'
import type { Endpoint, EndpointGrant } from '../../core/balance/endpoint.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { WindowBudget } from '../../core/mux/window.ts'
import type { LinkFacts, LinkFault, LinkState } from '../../core/tunnel/agent-observer.ts'
import type { RefusedAnnouncement } from '../../core/tunnel/announcement.ts'
import { Backoff } from '../../core/tunnel/backoff.ts'
import { parseControlMessage, type ControlMessage } from '../../core/tunnel/control-message.ts'
import { sessionRefusals } from '../../core/tunnel/tunnel-observer.ts'
import { MuxLink } from '../mux-link.ts'
import { linkWebSocket, webSocketWire } from '../websocket-wire.ts'
import { certificateIn, type Credentials } from './credentials.ts'
import { dialGateway } from './gateway-dial.ts'
import type { HttpProxy } from './http-proxy.ts'
import { DialError, hostAndPort, reasonOf } from '../open-connection.ts'
import { requestSession } from './session-upgrade.ts'

/** For TCP, the proxy, TLS and the upgrade together. */
const connectMsMax = 10_000
/** How often a link that takes no new streams is looked at for its last one. */
const retiredCheckMs = 500
/** A session that lived so long worked: the next wait is a first one. */
const soundAfterMs = 10_000

export interface GatewayLinkOptions {
  /** wss://host:port */
  readonly gateway: URL
  /** PEM of the authorities to trust; undefined: the system's. */
  readonly caPem: string | undefined
  /** On the way to the gateway; undefined: none. */
  readonly proxy: HttpProxy | undefined
  readonly node: string
  readonly credentials: Credentials
  readonly budget: WindowBudget
  readonly announced: Announced
  /** What becomes of a stream that the gateway has opened; undefined: it is reset. */
  readonly opened: (stream: MuxStream, gateway: string) => StreamHandler | undefined
  /** What the gateway tells beside the session. */
  readonly told: (link: GatewayLink, message: ControlMessage) => void
  readonly changed: (link: GatewayLink) => void
  readonly refused: (link: GatewayLink, why: string) => void
}

/** @param fault @default the upgrade failed */
type Fail = (why: string, fault?: LinkFault, atLeastMs?: number) => void

const unupgraded: LinkFault = { kind: 'unreachable', step: 'upgrade' }

export class GatewayLink implements LinkFacts {
  readonly gateway: string
  readonly #options: GatewayLinkOptions
  readonly #backoff = new Backoff({ random: Math.random })
  #state: LinkState = { kind: 'connecting' }
  #sinceMs = performance.now()
  #lastFault: LinkFacts['lastFault']
  #mux: MuxLink | undefined
  #grant: EndpointGrant | undefined
  #refusedAnnouncements: readonly RefusedAnnouncement[] = []
  /** The try that is under way, or has brought the session. */
  #attempt = new AbortController()
  /** Of TLS, to be resumed; it stands for the certificate that was shown when it began. */
  #session: { readonly bytes: Buffer; readonly certPem: string | undefined } | undefined
  #timer: NodeJS.Timeout | undefined
  /** It does not come again. */
  #isLeaving = false

  constructor(options: GatewayLinkOptions) {
    this.#options = options
    this.gateway = options.gateway.host
  }

  start(): void {
    void this.#connect()
  }

  /** In place of one whose gateway goes: it is back at the same address, or another in its place, when it is. */
  startAfter(why: string): void {
    this.#wait(why, { kind: 'ended', reason: 'closed' })
  }

  get state(): LinkState {
    return this.#state
  }

  get sinceMs(): number {
    return this.#sinceMs
  }

  get lastFault(): LinkFacts['lastFault'] {
    return this.#lastFault
  }

  /** Of the session's round trip; undefined while there is none that is known. */
  get rttMs(): number | undefined {
    return this.#mux?.session.rttMs
  }

  get streamCount(): number {
    return this.#mux?.session.streamCount ?? 0
  }

  /** Of what the node announces, what does not hold at this gateway. */
  get refusedAnnouncements(): readonly RefusedAnnouncement[] {
    return this.#refusedAnnouncements
  }

  /** Where connections can go by the direct lane: while the session is up and has granted it. */
  get laneEndpoint(): Endpoint | undefined {
    if (this.#state.kind !== 'up' || this.#grant === undefined) return undefined
    const { host: address, port } = hostAndPort(this.#options.gateway)
    return { name: this.gateway, address, port, weight: 1, grant: this.#grant }
  }

  /** @returns undefined where it can carry none now */
  open(handler: StreamHandler): MuxStream | undefined {
    if (this.#state.kind !== 'up') return undefined
    const stream = this.#mux?.session.open(handler)
    return typeof stream === 'object' ? stream : undefined
  }

  /** No new streams; it is closed with its last one. */
  retire(): void {
    if (this.#state.kind !== 'up' || this.streamCount === 0) {
      this.close()
      return
    }
    this.#mux?.session.goAway(performance.now())
    this.#to({ kind: 'draining' })
    this.leave()
  }

  /** It has no new streams already, by its gateway's own word: it is closed with its last one. */
  leave(): void {
    this.#isLeaving = true
    const timer = setInterval(() => {
      if (this.streamCount > 0) return
      clearInterval(timer)
      this.close()
    }, retiredCheckMs)
    timer.unref()
  }

  close(): void {
    this.#to({ kind: 'closed' })
    clearTimeout(this.#timer)
    if (this.#mux === undefined) this.#attempt.abort(new Error('the agent stops'))
    else this.#mux.closed('the agent stops')
  }

  async #connect(): Promise<void> {
    const { gateway, caPem, proxy, node, credentials, announced } = this.#options
    this.#to({ kind: 'connecting' })
    const attempt = new AbortController()
    this.#attempt = attempt
    const timer = setTimeout(() => attempt.abort(new Error(`nothing within ${connectMsMax / 1_000} s`)), connectMsMax)
    this.#timer = timer
    let isOver = false
    const over = (then: () => void): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      then()
    }
    try {
      const certificate = certificateIn(credentials)
      const session = this.#session?.certPem === certificate?.certPem ? this.#session?.bytes : undefined
      const tls = await dialGateway({ gateway, caPem, proxy, certificate, session, signal: attempt.signal })
      const fail: Fail = (why, fault = unupgraded, atLeastMs = 0) => over(() => {
        tls.destroy()
        this.#wait(why, fault, atLeastMs)
      })
      tls.on('error', (error) => fail(`the connection to ${this.gateway} broke: ${reasonOf(error, attempt.signal)}`))
      tls.on('close', () => fail('closed before there was a session'))
      tls.on('session', (bytes) => {
        this.#session = { bytes, certPem: certificate?.certPem }
      })
      attempt.signal.addEventListener('abort', () => fail(`no answer to the upgrade: ${reasonOf(undefined, attempt.signal)}`))
      requestSession(tls, { gateway, node, credentials, announced }, {
        opened: (socket) => over(() => this.#began(socket, tls)),
        refused: ({ why, reason, retryAfterMs }) => {
          this.#options.refused(this, why)
          fail(why, { kind: 'refused', reason: sessionRefusals.find((known) => known === reason) ?? 'other' }, retryAfterMs)
        },
        failed: fail,
      })
    } catch (error) {
      if (!(error instanceof DialError)) throw error
      over(() => this.#wait(error.message, { kind: 'unreachable', step: error.step }))
    }
  }

  #began(socket: WebSocket, tls: TLSSocket): void {
    const sinceMs = performance.now()
    const mux = new MuxLink({
      role: 'client',
      wire: webSocketWire(socket, tls, 'client'),
      budget: this.#options.budget,
      opened: (stream) => this.#options.opened(stream, this.gateway),
      goingAway: () => this.#to({ kind: 'draining' }),
      ended: (end) => {
        this.#mux = undefined
        this.#grant = undefined
        this.#refusedAnnouncements = []
        if (performance.now() - sinceMs >= soundAfterMs) this.#backoff.succeeded()
        if (this.#isLeaving) this.close()
        else if (this.#state.kind !== 'closed') this.#wait('detail' in end ? `${end.reason}: ${end.detail}` : end.reason, { kind: 'ended', reason: end.reason })
      },
    })
    this.#mux = mux
    linkWebSocket(socket, mux, (text) => {
      const message = parseControlMessage(text)
      if (message === undefined) mux.closed('a text message that is none of ours')
      else this.#told(message)
    })
    this.#to({ kind: 'up', sinceMs })
  }

  #told(message: ControlMessage): void {
    const { lane, refused } = message
    if (refused !== undefined) this.#refusedAnnouncements = refused
    if (lane !== undefined) this.#grant = { descriptor: lane.descriptor, key: lane.key, clockOffsetMs: lane.clockMs - Date.now() }
    this.#options.told(this, message)
  }

  #wait(why: string, fault: LinkFault, atLeastMs = 0): void {
    if (this.#state.kind === 'closed') return
    const waitMs = this.#backoff.failed(atLeastMs)
    const atMs = performance.now()
    this.#lastFault = { why, atMs }
    this.#to({ kind: 'waiting', why, fault, untilMs: atMs + waitMs })
    this.#timer = setTimeout(() => void this.#connect(), waitMs)
  }

  #to(state: LinkState): void {
    if (this.#state.kind === 'closed') return
    this.#state = state
    this.#sinceMs = performance.now()
    this.#options.changed(this)
  }
}
