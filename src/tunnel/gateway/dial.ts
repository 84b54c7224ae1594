// To an API server of a tenant: endpoints in the scheduler's order, each once, until one accepts.

import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { TenantPolicy } from '../../core/snapshot.ts'
import type { StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import type { DialFailure, DialResult } from '../dialled-stream.ts'

/** Of silence, before an API server is asked whether it is there. */
const keepAliveSeconds = 5

export interface DialOptions {
  readonly sockets: StreamSockets
  readonly tenant: TenantPolicy
  /** The client's address, as schedulers know it. */
  readonly source: string
  /** What the endpoint is sent before anything else. */
  readonly first: Uint8Array | undefined
}

/** A dial under way. The connection that it makes counts as its endpoint's until it has ended. */
export class Dial {
  readonly #sockets: StreamSockets
  readonly #tenant: TenantPolicy
  readonly #result: DialResult
  readonly #source: string
  readonly #first: Uint8Array | undefined
  readonly #tried: Endpoint[] = []
  /** Of the endpoint that is dialled now. */
  #leave: () => void = () => undefined
  #timer: NodeJS.Timeout | undefined
  #failure: DialFailure = { status: 503, detail: 'no endpoint takes connections' }

  constructor({ sockets, tenant, source, first }: DialOptions, result: DialResult) {
    this.#sockets = sockets
    this.#tenant = tenant
    this.#source = source
    this.#first = first
    this.#result = result
    this.#next()
  }

  /** Nobody waits for it any more. */
  abandon(): void {
    this.#leave()
  }

  #next(): void {
    const endpoint = this.#tried.length < this.#tenant.attemptsMax ? this.#tenant.scheduler.pick(this.#tried, this.#source) : undefined
    if (endpoint === undefined) {
      this.#result.failed(this.#failure)
      return
    }
    this.#tried.push(endpoint)
    const { active } = this.#tenant
    active.began(endpoint)
    const over = (): void => active.ended(endpoint)
    const failed = (status: DialFailure['status'], detail: string): void => {
      this.#leave()
      this.#failure = { status, detail: `${endpoint.name}: ${detail}` }
      this.#next()
    }
    this.#timer = setTimeout(() => failed(504, `no answer in ${this.#tenant.connectTimeoutMs} ms`), this.#tenant.connectTimeoutMs)
    const dial = this.#sockets.dial({
      to: endpoint, keepAliveSeconds,
      connected: (socket) => {
        clearTimeout(this.#timer)
        this.#leave = () => undefined
        this.#result.connected(socket, this.#first, over)
      },
      failed: (code) => failed(502, code),
    })
    this.#leave = () => {
      clearTimeout(this.#timer)
      this.#leave = () => undefined
      dial.abandon()
      over()
    }
  }
}
