// To an API server of a tenant: endpoints in the scheduler's order, each once, until one accepts.

import { lookup } from 'node:dns'
import { isIP } from 'node:net'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import { isOwnFault } from '../../core/dial-failure.ts'
import type { TenantPolicy } from '../../core/snapshot.ts'
import type { SocketDial, StreamSocket, StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import type { DialFailure, DialResult, DialUnderWay } from '../dialled-stream.ts'

export interface DialOptions {
  readonly sockets: StreamSockets
  readonly tenant: TenantPolicy
  /** The client's address, as schedulers know it. */
  readonly source: string
  /** Whether another endpoint may be dialled, once one has failed. */
  readonly mayRetry: () => boolean
  /** At each attempt. */
  readonly dialling: (endpoint: Endpoint) => void
  /** What the endpoint is sent before anything else. */
  readonly first: Uint8Array | undefined
  /** Once: it has failed or was abandoned, or its connection has ended. */
  readonly left: () => void
}

/** A dial under way. The connection that it makes counts as its endpoint's until it has ended. */
export class Dial implements DialUnderWay {
  readonly #options: DialOptions
  readonly #result: DialResult
  #tried: readonly Endpoint[] = []
  #endpoint: Endpoint | undefined
  /** Of that endpoint, what `ActiveCounts.began` has returned. */
  #begun = 0
  /** Its address is asked for. */
  #isResolving = false
  /** Of that endpoint. */
  #dial: { abandon(): void } | undefined
  #timer: NodeJS.Timeout | undefined
  #failure: DialFailure = { status: 503, detail: 'no endpoint takes connections' }

  constructor(options: DialOptions, result: DialResult) {
    this.#options = options
    this.#result = result
    this.#next()
  }

  abandon(): void {
    this.#leave()
    this.#options.left()
  }

  #next(): void {
    const { sockets, tenant: { scheduler, active, attemptsMax, connectTimeoutMs }, source, mayRetry, dialling, left } = this.#options
    const endpoint = this.#tried.length < attemptsMax ? scheduler.pick(this.#tried, source) : undefined
    if (endpoint === undefined) {
      left()
      this.#result.failed(this.#failure)
      return
    }
    if (this.#tried.length > 0 && !mayRetry()) {
      left()
      this.#result.failed({ ...this.#failure, detail: `retry-budget: ${this.#failure.detail}` })
      return
    }
    this.#tried = [...this.#tried, endpoint]
    this.#endpoint = endpoint
    dialling(endpoint)
    this.#begun = active.began(endpoint)
    this.#timer = setTimeout(() => this.#failed(504, `no ${this.#isResolving ? 'address' : 'answer'} in ${connectTimeoutMs} ms`), connectTimeoutMs)
    const result = { connected: (socket: StreamSocket) => this.#connected(socket, endpoint), failed: (code: string) => this.#failed(502, code) }
    this.#isResolving = isIP(endpoint.address) === 0
    const resolved = (): void => {
      this.#isResolving = false
    }
    this.#dial = this.#isResolving ? dialName(sockets, endpoint, { ...result, resolved }) : sockets.dial({ to: endpoint, ...result })
  }

  #connected(socket: StreamSocket, endpoint: Endpoint): void {
    clearTimeout(this.#timer)
    const { tenant: { active }, first, left } = this.#options
    active.connected(endpoint)
    this.#result.connected(socket, first, overOf(active, endpoint, left))
  }

  #failed(status: DialFailure['status'], detail: string): void {
    if (this.#endpoint !== undefined && !this.#isResolving && !isOwnFault(detail)) this.#options.tenant.active.failed(this.#endpoint, this.#begun)
    this.#failure = { status, detail: `${this.#endpoint?.name}: ${detail}` }
    this.#leave()
    this.#next()
  }

  #leave(): void {
    clearTimeout(this.#timer)
    this.#dial?.abandon()
    if (this.#endpoint !== undefined) this.#options.tenant.active.ended(this.#endpoint)
    this.#endpoint = undefined
  }
}

/** Its addresses one after the other; the endpoint's time bounds them all. */
function dialName(sockets: StreamSockets, { address: name, port }: Endpoint, { resolved, connected, failed }: Pick<SocketDial, 'connected' | 'failed'> & { readonly resolved: () => void }): { abandon(): void } {
  let dial: { abandon(): void } | undefined
  let isAbandoned = false
  lookup(name, { all: true }, (error, found) => {
    if (isAbandoned) return
    resolved()
    const next = (code: string): void => {
      const address = found.shift()?.address
      if (address === undefined) failed(code)
      else dial = sockets.dial({ to: { address, port }, connected, failed: next })
    }
    if (error === null) next('ENOTFOUND')
    else failed(error.code ?? error.message)
  })
  return {
    abandon: () => {
      isAbandoned = true
      dial?.abandon()
    },
  }
}

/** It lives as long as the connection, and keeps nothing of the dial. */
function overOf(active: TenantPolicy['active'], endpoint: Endpoint, left: () => void): (isUnanswered: boolean) => void {
  return (isUnanswered) => {
    if (isUnanswered) active.unanswered(endpoint)
    active.ended(endpoint)
    left()
  }
}
