// To an API server of a tenant: endpoints in the scheduler's order, each once, until one accepts.

import { connect, type Socket } from 'node:net'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { TenantPolicy } from '../../core/snapshot.ts'
import type { ConnectStatus } from '../../core/tunnel/connect-head.ts'

export interface DialFailure {
  readonly status: Exclude<ConnectStatus, 200>
  /** Of the last endpoint: its name and what the system said. */
  readonly detail: string
}

export interface DialResult {
  readonly connected: (socket: Socket, endpoint: Endpoint) => void
  readonly failed: (failure: DialFailure) => void
}

/** A dial under way. */
export class Dial {
  readonly #tenant: TenantPolicy
  readonly #result: DialResult
  readonly #tried: Endpoint[] = []
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #failure: DialFailure = { status: 503, detail: 'no endpoint takes connections' }

  constructor(tenant: TenantPolicy, result: DialResult) {
    this.#tenant = tenant
    this.#result = result
    this.#next()
  }

  /** Nobody waits for it any more. */
  abandon(): void {
    clearTimeout(this.#timer)
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #next(): void {
    const endpoint = this.#tried.length < this.#tenant.attemptsMax ? this.#tenant.scheduler.pick(this.#tried) : undefined
    if (endpoint === undefined) {
      this.#result.failed(this.#failure)
      return
    }
    this.#tried.push(endpoint)
    const socket = connect({ host: endpoint.address, port: endpoint.port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 5_000, allowHalfOpen: true })
    this.#socket = socket
    const failed = (status: DialFailure['status'], detail: string): void => {
      clearTimeout(this.#timer)
      socket.removeAllListeners()
      socket.on('error', () => undefined)
      socket.destroy()
      this.#failure = { status, detail: `${endpoint.name}: ${detail}` }
      this.#next()
    }
    this.#timer = setTimeout(() => failed(504, `no answer in ${this.#tenant.connectTimeoutMs} ms`), this.#tenant.connectTimeoutMs)
    socket.once('error', (error: NodeJS.ErrnoException) => failed(502, error.code ?? error.message))
    socket.once('connect', () => {
      clearTimeout(this.#timer)
      socket.removeAllListeners('error')
      this.#socket = undefined
      this.#result.connected(socket, endpoint)
    })
  }
}
