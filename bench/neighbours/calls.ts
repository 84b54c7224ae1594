// Steady calls from all nodes to all API servers: each pair once in an interval, all of them spread evenly over it. A call is a
// connection of its own: TLS, a request, its echo, the end.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls, createSecureContext } from 'node:tls'
import type { SocketAddress } from '../../src/core/net/socket-address.ts'
import { AF_INET, check, close, connect, EINPROGRESS, errno, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket, sockaddrInBytes, SystemError } from '../../src/relay/linux/libc.ts'
import { SocketAddressCell } from '../../src/relay/linux/socket-address.ts'
import { serverNameOf } from './api-servers.ts'
import type { NetworkNamespace } from './namespace.ts'
import type { Host } from './segment.ts'

const tickMs = 10
const payloadBytes = 128
const callTimeoutMs = 5_000
/** More wait for one of them to end. */
const callsInFlightMax = 200

export interface CallsOptions {
  readonly nodes: readonly Host[]
  readonly apiServers: number
  /** Where calls to that API server go. */
  readonly addressOf: (apiServer: number) => SocketAddress
  readonly caPem: string
  readonly intervalMs: number
}

export interface CallCounts {
  readonly due: number
  readonly answered: number
  /** By what was wrong. */
  readonly failed: Readonly<Record<string, number>>
}

const cell = new SocketAddressCell()

export class Calls {
  readonly #options: CallsOptions
  readonly #secureContext: ReturnType<typeof createSecureContext>
  readonly #failed = new Map<string, number>()
  readonly #inFlight = new Set<Promise<void>>()
  #answered = 0
  #ended = 0

  constructor(options: CallsOptions) {
    this.#options = options
    this.#secureContext = createSecureContext({ ca: options.caPem })
  }

  /** Answered or failed, so far. */
  get ended(): number {
    return this.#ended
  }

  /** Resolves when the last call has ended. */
  async run(durationMs: number): Promise<CallCounts> {
    const { nodes, apiServers, intervalMs } = this.#options
    const perMs = nodes.length * apiServers / intervalMs
    const startMs = performance.now()
    let begun = 0
    for (let elapsedMs = 0; elapsedMs < durationMs; elapsedMs = performance.now() - startMs) {
      for (; begun < elapsedMs * perMs && this.#inFlight.size < callsInFlightMax; begun += 1) this.#begin(begun)
      await delay(tickMs)
    }
    await Promise.all(this.#inFlight)
    return { due: Math.floor(durationMs * perMs), answered: this.#answered, failed: Object.fromEntries(this.#failed) }
  }

  /** In turns of the nodes; one begins with another API server than the next. */
  #begin(index: number): void {
    const { nodes, apiServers } = this.#options
    const nodeIndex = index % nodes.length
    const node = nodes[nodeIndex]
    if (node === undefined) throw new Error('bug: no such node')
    const counted = this.#count(node.namespace, (Math.floor(index / nodes.length) + nodeIndex) % apiServers).finally(() => this.#inFlight.delete(counted))
    this.#inFlight.add(counted)
  }

  async #count(namespace: NetworkNamespace, apiServer: number): Promise<void> {
    try {
      await this.#call(namespace, apiServer)
      this.#answered += 1
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#failed.set(message, (this.#failed.get(message) ?? 0) + 1)
    }
    this.#ended += 1
  }

  /** @throws what was wrong with it */
  async #call(namespace: NetworkNamespace, apiServer: number): Promise<void> {
    const plain = new Socket({ fd: dial(namespace, this.#options.addressOf(apiServer)) })
    const tls = connectTls({ socket: plain, servername: serverNameOf(apiServer), secureContext: this.#secureContext })
    const timer = setTimeout(() => tls.destroy(new Error(`no answer within ${callTimeoutMs} ms`)), callTimeoutMs)
    const sent = randomBytes(payloadBytes)
    const received: Buffer[] = []
    let receivedBytes = 0
    tls.on('data', (bytes: Buffer) => {
      received.push(bytes)
      receivedBytes += bytes.length
      if (receivedBytes >= sent.length) tls.end()
    })
    tls.write(sent)
    try {
      await once(tls, 'close')
    } finally {
      clearTimeout(timer)
      plain.destroy()
    }
    if (!Buffer.concat(received).equals(sent)) throw new Error(`${receivedBytes} bytes came back, which are not the ${sent.length} that were sent`)
  }
}

/** @returns a descriptor whose connection is under way; whether it succeeds shows when it is used */
function dial(namespace: NetworkNamespace, to: SocketAddress): number {
  const fd = namespace.within(() => check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket'))
  cell.encode(to)
  if (connect(fd, cell.address, sockaddrInBytes) === -1 && errno() !== EINPROGRESS) {
    const error = new SystemError('connect', errno())
    close(fd)
    throw error
  }
  return fd
}
