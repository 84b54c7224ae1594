// To an API server of a tenant: endpoints in the scheduler's order, each once, until one accepts.

import { connect, type Socket } from 'node:net'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { TenantPolicy } from '../../core/snapshot.ts'
import type { DialFailure, DialResult } from '../dialled-stream.ts'

/** Of our own process or machine: they say nothing of the endpoint. */
const ownFaults: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EAI_AGAIN', 'EAGAIN'])

export interface DialOptions {
  readonly tenant: TenantPolicy
  /** The client's address, as schedulers know it. */
  readonly source: string
  /** Whether another endpoint may be dialled, once one has failed. */
  readonly mayRetry: () => boolean
  /** Ends a socket whose peer has vanished; absent: the system does, much later where bytes are in flight. */
  readonly watchPeer?: ((socket: Socket) => void) | undefined
  /** What the endpoint is sent before anything else. */
  readonly first: Uint8Array | undefined
}

/** A dial under way. The connection that it makes counts as its endpoint's until the socket is closed. */
export class Dial {
  readonly #tenant: TenantPolicy
  readonly #result: DialResult
  readonly #source: string
  readonly #mayRetry: () => boolean
  readonly #watchPeer: DialOptions['watchPeer']
  readonly #first: Uint8Array | undefined
  readonly #tried: Endpoint[] = []
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #failure: DialFailure = { status: 503, detail: 'no endpoint takes connections' }

  constructor({ tenant, source, mayRetry, watchPeer, first }: DialOptions, result: DialResult) {
    this.#tenant = tenant
    this.#source = source
    this.#mayRetry = mayRetry
    this.#watchPeer = watchPeer
    this.#first = first
    this.#result = result
    this.#next()
  }

  /** Of the last attempt; undefined: there was none. */
  get endpoint(): Endpoint | undefined {
    return this.#tried.at(-1)
  }

  /** Nobody waits for it any more. */
  abandon(): void {
    clearTimeout(this.#timer)
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #next(): void {
    const endpoint = this.#tried.length < this.#tenant.attemptsMax ? this.#tenant.scheduler.pick(this.#tried, this.#source) : undefined
    if (endpoint === undefined) {
      this.#result.failed(this.#failure)
      return
    }
    if (this.#tried.length > 0 && !this.#mayRetry()) {
      this.#result.failed({ ...this.#failure, detail: `retry-budget: ${this.#failure.detail}` })
      return
    }
    this.#tried.push(endpoint)
    const { active } = this.#tenant
    active.began(endpoint)
    const socket = connect({ host: endpoint.address, port: endpoint.port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 5_000, allowHalfOpen: true })
    this.#socket = socket
    socket.once('close', () => active.ended(endpoint))
    const failed = (status: DialFailure['status'], detail: string): void => {
      clearTimeout(this.#timer)
      socket.removeAllListeners('error').removeAllListeners('connect')
      socket.on('error', () => undefined)
      socket.destroy()
      if (status === 504 || !ownFaults.has(detail)) active.dialFailed(endpoint)
      this.#failure = { status, detail: `${endpoint.name}: ${detail}` }
      this.#next()
    }
    this.#timer = setTimeout(() => failed(504, `no answer in ${this.#tenant.connectTimeoutMs} ms`), this.#tenant.connectTimeoutMs)
    socket.once('error', (error: NodeJS.ErrnoException) => failed(502, error.code ?? error.message))
    socket.once('connect', () => {
      clearTimeout(this.#timer)
      socket.removeAllListeners('error')
      this.#socket = undefined
      this.#watchPeer?.(socket)
      this.#result.connected(socket, this.#first)
    })
  }
}
