// An agent's session as the gateway has it: each stream that the agent opens goes to its tenant's API server.

import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Announced } from '../../core/egress/agent-table.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { WindowBudget } from '../../core/mux/window.ts'
import type { RefusedAnnouncement } from '../../core/tunnel/announcement.ts'
import { encodeControlMessage, type ControlMessage } from '../../core/tunnel/control-message.ts'
import { MuxLink } from '../mux-link.ts'
import { linkWebSocket, webSocketWire } from '../websocket-wire.ts'
import { AgentStream, type AgentSession } from './agent-stream.ts'
import type { SessionFacts } from '../../core/tunnel/tunnel-observer.ts'

export interface GatewaySessionOptions extends AgentSession {
  /** All that the agent announces; of it, what holds is in the facts. */
  readonly announcement: Announced
  /** What the configuration says against it. */
  readonly faults: readonly RefusedAnnouncement[]
  readonly socket: WebSocket
  /** The WebSocket's own connection. */
  readonly raw: Duplex
  readonly budget: WindowBudget
  readonly ended: (session: GatewaySession) => void
}

export class GatewaySession {
  readonly announcement: Announced
  readonly link: MuxLink
  #facts: SessionFacts
  readonly #socket: WebSocket
  #faults: readonly RefusedAnnouncement[]
  #refused: readonly RefusedAnnouncement[] = []

  constructor(options: GatewaySessionOptions) {
    const { facts, announcement, faults, socket, raw, budget, observer, ended } = options
    this.#facts = facts
    this.announcement = announcement
    this.#faults = faults
    this.#socket = socket
    this.link = new MuxLink({
      role: 'server',
      wire: webSocketWire(socket, raw, 'server'),
      budget,
      opened: (stream) => new AgentStream(stream, options).handler,
      // An agent that goes away opens nothing more; its streams end by themselves.
      goingAway: () => undefined,
      ended: (end) => {
        ended(this)
        observer.sessionEnded(this.#facts, end)
      },
    })
    linkWebSocket(socket, this.link)
  }

  get facts(): SessionFacts {
    return this.#facts
  }

  get faults(): readonly RefusedAnnouncement[] {
    return this.#faults
  }

  /** Of what it announces, the agent was told that this does not hold. */
  get refused(): readonly RefusedAnnouncement[] {
    return this.#refused
  }

  /** Of what it announces, this holds from now on, but for the rest of `faults`. */
  hold(announced: Announced, faults: readonly RefusedAnnouncement[]): void {
    this.#facts = { ...this.#facts, announced }
    this.#faults = faults
  }

  /** In place of what it was told before. */
  tellRefused(refused: readonly RefusedAnnouncement[]): void {
    this.#refused = refused
    this.tell({ refused })
  }

  /** The agent goes elsewhere with new streams; those that there are go on. */
  goAway(): void {
    this.link.session.goAway(performance.now())
  }

  /** To the agent, for a connection on its side. @returns undefined where there can be none now */
  open(handler: StreamHandler): MuxStream | undefined {
    const stream = this.link.session.open(handler)
    return typeof stream === 'object' ? stream : undefined
  }

  get isOver(): boolean {
    return this.link.session.end !== undefined
  }

  tell(message: ControlMessage): void {
    this.#socket.send(encodeControlMessage(message))
  }

  close(detail: string): void {
    this.link.closed(detail)
  }
}
