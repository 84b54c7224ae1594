// Dials what the API server wants to reach on the agent's side, as the agent's own policy allows: names are resolved here, and
// each address that comes of it is judged by itself.
//
//   asked ─▶ resolve ─▶ judged ─▶ one address after the other, within one time ─▶ connected · failed

import { lookup as lookupOfSystem } from 'node:dns/promises'
import { codeOf } from '../../core/error-code.ts'
import type { HostPort } from '../../core/net/socket-address.ts'
import { formatSocketAddress, hostPortIn } from '../../core/net/socket-address.ts'
import type { ReversePolicy } from '../../core/tunnel/reverse-policy.ts'
import type { StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import type { DialFailure, DialResult, DialUnderWay } from '../dialled-stream.ts'

/** At one time; more are refused. */
const reverseDialsMax = 1_000
/** Of a name. */
const addressesMax = 8

export interface ReverseDiallerOptions {
  readonly sockets: StreamSockets
  readonly policy: ReversePolicy
  /** For resolving and for all addresses together. */
  readonly dialTimeoutMs: number
  /** Names that are being resolved count, also where nobody waits for them any more: the system goes on with that. @default reverseDialsMax */
  readonly dialsMax?: number
  /** @default the system's */
  readonly lookup?: (name: string) => Promise<readonly { readonly address: string }[]>
}

type Resolved = { readonly kind: 'resolved'; readonly addresses: readonly string[] } | { readonly kind: 'failed'; readonly failure: DialFailure }

export class ReverseDialler {
  readonly #options: ReverseDiallerOptions
  #dials = 0

  constructor(options: ReverseDiallerOptions) {
    this.#options = options
  }

  /** Under way. */
  get dials(): number {
    return this.#dials
  }

  dial(target: string, result: DialResult): DialUnderWay | undefined {
    const { sockets, policy, dialTimeoutMs, dialsMax = reverseDialsMax } = this.#options
    const asked = hostPortIn(target)
    const verdict = asked === undefined ? undefined : policy.asked(asked.host, asked.port)
    if (asked === undefined || verdict === undefined) result.failed({ status: 400, detail: `${target} is no HOST:PORT` })
    else if (verdict.kind === 'refused') result.failed({ status: 403, detail: verdict.why })
    else if (this.#dials >= dialsMax) result.failed({ status: 503, detail: `${dialsMax} dials are under way already` })
    else {
      this.#dials += 1
      let isResolving = verdict.kind === 'resolve'
      let isOver = false
      const over = (): void => {
        isOver = true
        if (!isResolving) this.#dials -= 1
      }
      const dial = new AddressesDial({ sockets, port: asked.port, title: target, dialTimeoutMs, over }, result)
      if (verdict.kind === 'dial') dial.begin(verdict.addresses)
      else {
        void this.#resolve(verdict.name, asked, (resolved) => {
          isResolving = false
          if (isOver) this.#dials -= 1
          else if (resolved.kind === 'failed') dial.fail(resolved.failure)
          else dial.begin(resolved.addresses)
        })
      }
      return dial
    }
    return undefined
  }

  async #resolve(name: string, at: HostPort, then: (resolved: Resolved) => void): Promise<void> {
    then(await this.#resolved(name, at))
  }

  async #resolved(name: string, { port }: HostPort): Promise<Resolved> {
    const { policy, lookup = async (asked) => await lookupOfSystem(asked, { all: true }) } = this.#options
    try {
      const found = (await lookup(name)).slice(0, addressesMax).map(({ address }) => address)
      const refusals = found.map((address) => policy.resolved(name, address, port))
      const addresses = found.filter((_, index) => refusals[index] === undefined)
      if (addresses.length > 0) return { kind: 'resolved', addresses }
      return { kind: 'failed', failure: { status: 403, detail: refusals.find((why) => why !== undefined) ?? `${name} has no address` } }
    } catch (error) {
      return { kind: 'failed', failure: { status: 502, detail: `${name} can't be resolved: ${codeOf(error) ?? String(error)}` } }
    }
  }
}

interface AddressesDialOptions {
  readonly sockets: StreamSockets
  readonly port: number
  readonly title: string
  readonly dialTimeoutMs: number
  /** Once, before the result. */
  readonly over: () => void
}

class AddressesDial implements DialUnderWay {
  readonly #options: AddressesDialOptions
  readonly #result: DialResult
  readonly #timer: NodeJS.Timeout
  #addresses: string[] = []
  /** Of the address that is dialled now. */
  #leave: () => void = () => undefined
  #isOver = false

  constructor(options: AddressesDialOptions, result: DialResult) {
    const { title, dialTimeoutMs } = options
    this.#options = options
    this.#result = result
    this.#timer = setTimeout(() => this.fail({ status: 504, detail: `${title}: no answer in ${dialTimeoutMs} ms` }), dialTimeoutMs)
  }

  begin(addresses: readonly string[]): void {
    if (this.#isOver) return
    this.#addresses = [...addresses]
    this.#next({ status: 502, detail: `${this.#options.title}: there is no address` })
  }

  fail(failure: DialFailure): void {
    if (this.#end()) this.#result.failed(failure)
  }

  abandon(): void {
    this.#end()
  }

  /** @returns whether it was not over before */
  #end(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#leave()
    this.#options.over()
    return true
  }

  /** @param failure of the one before */
  #next(failure: DialFailure): void {
    const address = this.#addresses.shift()
    if (address === undefined) {
      this.fail(failure)
      return
    }
    const { sockets, port, title, dialTimeoutMs } = this.#options
    // One that does not answer must leave time for the others.
    const share = this.#addresses.length === 0 ? undefined : setTimeout(() => failed('ETIMEDOUT'), dialTimeoutMs / (this.#addresses.length + 1))
    const failed = (code: string): void => {
      this.#leave()
      this.#next({ status: code === 'ETIMEDOUT' ? 504 : 502, detail: `${title}: ${formatSocketAddress({ address, port })}: ${code}` })
    }
    const dial = sockets.dial({
      to: { address, port }, failed,
      connected: (socket) => {
        this.#leave()
        this.#end()
        this.#result.connected(socket)
      },
    })
    this.#leave = () => {
      clearTimeout(share)
      this.#leave = () => undefined
      dial.abandon()
    }
  }
}
