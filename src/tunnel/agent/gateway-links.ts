// The agent's sessions: which gateways it holds one with (core/tunnel/gateway-choice.ts), kept to while gateways come up, fail
// and go, and while they tell of others.
//
// A link that is no longer wanted takes no new streams and ends with its last one. So does one whose gateway says that it goes,
// and another is begun beside it: a gateway that is restarted is back long before the last of its streams has ended.

import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { LinkFacts } from '../../core/tunnel/agent-observer.ts'
import { gatewayUrl, type ControlMessage } from '../../core/tunnel/control-message.ts'
import { chooseGateways, type GatewayCondition } from '../../core/tunnel/gateway-choice.ts'
import { GatewayLink, type GatewayLinkOptions } from './gateway-link.ts'
import type { ToldGateways } from './told-gateways.ts'

export interface GatewayLinksOptions extends Omit<GatewayLinkOptions, 'gateway' | 'told' | 'changed' | 'refused'> {
  readonly configured: readonly URL[]
  readonly told: ToldGateways
  /** To hold at one time; Infinity: with all gateways. */
  readonly sessions: number
  /** Its state is another one. */
  readonly changed: (link: LinkFacts) => void
  /** The gateway has told something beside the session. */
  readonly heard: (link: LinkFacts, message: ControlMessage) => void
  readonly refused: (link: LinkFacts, why: string) => void
}

export class GatewayLinks {
  readonly #options: GatewayLinksOptions
  readonly #configured: readonly string[]
  /** By gateway, the wanted ones. */
  readonly #links = new Map<string, GatewayLink>()
  /** No longer wanted, or their gateways go, with streams that go on. */
  readonly #retired = new Set<GatewayLink>()
  #choosing = false
  #isClosed = false

  constructor(options: GatewayLinksOptions) {
    this.#options = options
    this.#configured = options.configured.map(({ href }) => gatewayUrl(href) ?? href)
  }

  get all(): readonly GatewayLink[] {
    return [...this.#links.values(), ...this.#retired]
  }

  get isUp(): boolean {
    return [...this.#links.values()].some(({ state }) => state.kind === 'up')
  }

  start(): void {
    this.#choose()
  }

  close(): void {
    this.#isClosed = true
    for (const link of this.all) link.close()
  }

  /** Through the session with the shortest round trip; of equals, the one with the fewest streams. */
  open(handler: StreamHandler): MuxStream | undefined {
    const byHealth = [...this.#links.values()].filter(({ state }) => state.kind === 'up').toSorted((one, other) => (one.rttMs ?? Infinity) - (other.rttMs ?? Infinity) || one.streamCount - other.streamCount)
    for (const link of byHealth) {
      const stream = link.open(handler)
      if (stream !== undefined) return stream
    }
    return undefined
  }

  /** Once a turn: links change in the middle of other things. */
  #chooseSoon(): void {
    if (this.#choosing) return
    this.#choosing = true
    setImmediate(() => {
      this.#choosing = false
      this.#choose()
    })
  }

  #choose(): void {
    if (this.#isClosed) return
    const { told, sessions, node } = this.#options
    const wanted = chooseGateways({ told: told.list, configured: this.#configured, sessions, node, condition: (gateway) => conditionOf(this.#links.get(gateway)) })
    for (const gateway of wanted) if (!this.#links.has(gateway)) this.#begin(gateway).start()
    for (const [gateway, link] of this.#links) if (!wanted.has(gateway)) this.#retire(gateway, link)
  }

  #begin(gateway: string): GatewayLink {
    const { changed, heard, refused } = this.#options
    const link = new GatewayLink({
      ...this.#options,
      gateway: new URL(gateway),
      told: (its, message) => {
        this.#told(message)
        heard(its, message)
      },
      changed: (its) => {
        if (its.state.kind === 'closed') this.#retired.delete(its)
        changed(its)
        if (its.state.kind === 'draining' && this.#links.get(gateway) === its) this.#succeed(gateway, its)
        this.#chooseSoon()
      },
      refused,
    })
    this.#links.set(gateway, link)
    return link
  }

  /** Its gateway goes. */
  #succeed(gateway: string, link: GatewayLink): void {
    this.#retired.add(link)
    link.leave()
    this.#begin(gateway).startAfter('the gateway goes')
  }

  #retire(gateway: string, link: GatewayLink): void {
    this.#links.delete(gateway)
    this.#retired.add(link)
    link.retire()
  }

  #told({ gateways }: ControlMessage): void {
    if (gateways === undefined) return
    this.#options.told.replace(gateways)
    this.#chooseSoon()
  }
}

function conditionOf(link: GatewayLink | undefined): GatewayCondition {
  if (link === undefined) return 'new'
  switch (link.state.kind) {
    case 'up': return 'up'
    // Its successor has its place.
    case 'draining': return 'failing'
    case 'waiting': return 'failing'
    case 'connecting': return link.lastFault === undefined ? 'new' : 'failing'
    case 'closed': return 'failing'
    default: return link.state satisfies never
  }
}
