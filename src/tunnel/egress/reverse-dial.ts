// A connection to somewhere behind a tenant's agents: they are asked one after the other, in the table's order, until one has
// dialled. Nothing else is tried, whatever happens: a gateway never dials a node itself.
//
//   candidates ─▶ stream, CONNECT host:port ─▶ 200: connected · else, or no answer in time: the next one ─▶ … ─▶ failed

import type { AgentTable, Reachable } from '../../core/egress/agent-table.ts'
import type { EgressRefusal } from '../../core/egress/egress-observer.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import { connectAnswerIn, ConnectHeadReader, encodeConnectRequest, type ConnectStatus } from '../../core/tunnel/connect-head.ts'
import type { Way } from './way.ts'

const reverseDialLimits = {
  /** Agents asked for one connection. */
  attemptsMax: 3,
  /** For one agent's answer: over its own time to dial. */
  attemptMsMax: 8_000,
  /** For all of them. kube-apiserver itself waits without end. */
  totalMsMax: 15_000,
} as const

export interface ReverseTarget {
  readonly tenant: string
  readonly host: string
  readonly port: number
}

export interface ReverseFailure {
  readonly status: Exclude<ConnectStatus, 200>
  readonly refusal: EgressRefusal
  readonly detail: string
}

export interface ReverseResult {
  /** The stream's handler is to be set in this very call. @param rest what came behind the agent's answer: a view, valid in the call */
  readonly connected: (stream: MuxStream, node: string, rest: Uint8Array) => void
  readonly failed: (failure: ReverseFailure) => void
}

/** The more it says of the destination, the higher: of several agents' answers the API server is told the one that helps. */
const rank: Readonly<Record<EgressRefusal, number>> = { 'malformed': 0, 'no-agent': 1, 'too-many': 2, 'forbidden': 3, 'timeout': 4, 'unreachable': 5 }

/** A dial under way. */
export class ReverseDial {
  readonly #table: AgentTable<Way>
  readonly #target: ReverseTarget
  readonly #result: ReverseResult
  readonly #startMs = performance.now()
  readonly #candidates: readonly Reachable<Way>[]
  #attempts = 0
  /** Agents that did not reach it, or may not: it is their fault only if another one does. */
  readonly #doubted: string[] = []
  #stream: MuxStream | undefined
  #node: string | undefined
  #timer: NodeJS.Timeout | undefined
  #failure: ReverseFailure

  /** `start` begins it. */
  constructor(table: AgentTable<Way>, target: ReverseTarget, result: ReverseResult) {
    const { tenant, host, port } = target
    this.#table = table
    this.#target = target
    this.#result = result
    this.#candidates = table.candidates(tenant, host, { nowMs: this.#startMs, random: Math.random })
    const count = table.count(tenant)
    this.#failure = {
      status: 503, refusal: 'no-agent',
      detail: count === 0 ? `no agent of ${tenant} is connected` : `none of the ${count} agents' sessions of ${tenant} has or announces ${host} (port ${port})`,
    }
  }

  get attempts(): number {
    return this.#attempts
  }

  /** Asked last. */
  get node(): string | undefined {
    return this.#node
  }

  start(): void {
    this.#next()
  }

  /** Nobody waits for it any more. */
  abandon(): void {
    clearTimeout(this.#timer)
    this.#stream?.reset()
    this.#stream = undefined
  }

  #next(): void {
    const leftMs = reverseDialLimits.totalMsMax - (performance.now() - this.#startMs)
    const candidate = this.#attempts < reverseDialLimits.attemptsMax && leftMs > 0 ? this.#candidates[this.#attempts] : undefined
    if (candidate === undefined) {
      this.#result.failed(this.#failure)
      return
    }
    this.#attempts += 1
    this.#ask(candidate, Math.min(reverseDialLimits.attemptMsMax, leftMs))
  }

  #ask({ id, node, way }: Reachable<Way>, msMax: number): void {
    const { host, port } = this.#target
    this.#node = node
    const head = new ConnectHeadReader()
    const failed = (status: ReverseFailure['status'], refusal: EgressRefusal, detail: string, isSilent = false): void => {
      clearTimeout(this.#timer)
      this.#stream?.reset()
      this.#stream = undefined
      if (refusal === 'no-agent' || refusal === 'too-many' || isSilent) this.#table.failed(id, performance.now())
      else this.#doubted.push(id)
      if (rank[refusal] >= rank[this.#failure.refusal]) this.#failure = { status, refusal, detail: `${node}: ${detail}` }
      this.#next()
    }
    const gone = (): void => failed(503, 'no-agent', 'its session ended')
    const answer: StreamHandler = {
      data: (bytes) => {
        const read = head.push(bytes)
        this.#stream?.consumed(bytes.length - (read?.kind === 'head' ? read.rest.length : 0))
        if (read === undefined) return
        const said = read.kind === 'head' ? connectAnswerIn(read.firstLine) : undefined
        if (read.kind !== 'head' || said === undefined) failed(502, 'unreachable', 'its agent answered with what is no answer')
        else if (said.status === 200) this.#connected(id, node, read.rest)
        else failed(...failureOf(said.status, said.reason))
      },
      finished: gone,
      reset: gone,
      writable: () => undefined,
    }
    this.#stream = way.open(answer)
    if (this.#stream === undefined) {
      failed(503, 'no-agent', 'its session takes no stream now')
      return
    }
    const seconds = Math.round(msMax / 1_000)
    this.#timer = setTimeout(() => failed(504, 'timeout', `its agent did not answer in ${seconds} s`, true), msMax)
    const target = `${host.includes(':') ? `[${host}]` : host}:${port}`
    this.#stream.write(encodeConnectRequest(target, way.fields))
  }

  #connected(id: string, node: string, rest: Uint8Array): void {
    const stream = this.#stream
    clearTimeout(this.#timer)
    this.#stream = undefined
    this.#table.succeeded(id)
    for (const doubted of this.#doubted) this.#table.failed(doubted, performance.now())
    if (stream !== undefined) this.#result.connected(stream, node, rest)
  }
}

function failureOf(status: number, reason: string): [status: ReverseFailure['status'], refusal: EgressRefusal, detail: string] {
  switch (status) {
    case 403: return [403, 'forbidden', reason]
    case 503: return [503, 'too-many', reason]
    case 504: return [504, 'timeout', reason]
    default: return [502, 'unreachable', reason]
  }
}
