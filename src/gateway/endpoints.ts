// The gateway's endpoints: who checks them, who is told, and for who operates it what state each is in and why, and a say in it.
//
//   threads that dial ── news of dials ─▶ ┌───────────┐ ── targets, news of dials ─▶ health thread
//   threads that pick ◀── states ──────── │ this      │ ◀── what checks found ────────┘
//   operator ── setState, list ─────────▶ └───────────┘ ── metrics, log
//
// Endpoints that clients fail to reach are ejected here (core/balance/ejections.ts), as soon as it is heard of, and come back.

import type { ActiveCells } from '../core/balance/active-counts.ts'
import { dialNewsKinds, DialNewsReader } from '../core/balance/dial-news.ts'
import { EndpointRegister, type EndpointFigures, type EndpointPlace, type EndpointState, type EndpointStatus } from '../core/balance/endpoint-register.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import type { SnapshotChange } from '../core/snapshot.ts'
import type { HealthNews } from '../health/health-loop.ts'
import { EndpointMetrics, type EndpointTransition } from '../observe/endpoint-metrics.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { HealthThread } from './health-thread.ts'

/** Between looks at what dials came to. */
const dialsReadMs = 50
/** Between looks at who comes back. */
const ejectionsStepMs = 1_000

export class GatewayEndpoints {
  readonly #register: EndpointRegister
  readonly #logger: Logger
  readonly #metrics: EndpointMetrics
  readonly #thread: HealthThread
  readonly #dialNews: DialNewsReader
  readonly #timer: NodeJS.Timeout
  #checks = { unchecked: 0, waiting: 0 }
  #ejectionsSteppedMs = -Infinity

  constructor({ cells, logger, metrics, folder }: { readonly cells: ActiveCells; readonly logger: Logger; readonly metrics: Metrics; readonly folder: string }) {
    this.#register = new EndpointRegister(cells)
    this.#logger = logger
    this.#metrics = new EndpointMetrics({ registry: metrics.registry, logger, figures: () => this.figures(), checks: () => this.#checks })
    this.#thread = new HealthThread({ folder, received: (message) => this.#received(message), died: (error) => this.#metrics.threadDied(error) })
    this.#dialNews = new DialNewsReader(cells.dialNews)
    this.#timer = setInterval(() => {
      this.#readDials()
      this.#endEjections()
    }, dialsReadMs).unref()
  }

  /** Of an address, a port or a tenant alone; absent: of all. @param max the first ones, in the order of their names */
  list(place: Partial<EndpointPlace> = {}, max = Infinity): EndpointStatus[] {
    return this.#register.list(place, max)
  }

  /** As `EndpointRegister.page`. */
  page(...asked: Parameters<EndpointRegister['page']>): ReturnType<EndpointRegister['page']> {
    return this.#register.page(...asked)
  }

  figures(): EndpointFigures {
    return this.#register.figures()
  }

  /**
   * ready: whatever its checks say · draining, down: no new connection in any thread from now on, and those that it has stay · undefined:
   * as its checks say. It holds over reloads, until the process ends.
   * @returns how many tenants' endpoints there are; 0: none, and nothing is kept
   * @throws {OperatorStatesFullError}
   */
  setState(place: EndpointPlace, state: EndpointState | undefined): number {
    const endpoints = this.#register.setOperatorState(place, state)
    const { tenant, address, port } = place
    if (endpoints > 0) this.#logger.info({ endpoint: port === undefined ? address : formatSocketAddress({ address, port }), ...(tenant === undefined ? {} : { tenant }), state: state ?? 'as checked', endpoints }, 'the operator has set an endpoint’s state')
    this.#tellPanic()
    return endpoints
  }

  /** Before the change, which has its rows, is published. */
  update(change: SnapshotChange): void {
    this.#thread.change(this.#register.update(change, Date.now()))
    this.#tellPanic()
  }

  /** The thread that checks throws as a bug would, to see what happens then. */
  crashThread(): void {
    this.#thread.crash()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#thread.close()
  }

  #received({ updates, made, unchecked, waiting }: HealthNews): void {
    this.#checks = { unchecked, waiting }
    for (const { kind, result, count } of made) this.#metrics.checksMade(kind, result, count)
    const transitions: EndpointTransition[] = []
    const nowMs = Date.now()
    for (const { id, isDown, parts, why, transition } of updates) {
      const target = this.#register.setHealth(id, { isDown, parts, why }, nowMs)
      if (target === undefined || transition === undefined) continue
      transitions.push({ endpoint: target.name, address: target.address, tenants: target.tenants, to: isDown ? 'down' : 'ready', cause: transition, why })
    }
    if (transitions.length > 0) this.#metrics.changed(transitions)
    this.#tellPanic()
  }

  #readDials(): void {
    const news = this.#dialNews.take()
    for (const how of dialNewsKinds) {
      const ids = new Set<number>()
      for (const row of news[how]) {
        const id = this.#register.targetOf(row)
        if (id !== undefined) ids.add(id)
      }
      if (ids.size === 0) continue
      this.#metrics.clients(how, ids.size)
      this.#thread.clients([...ids], how)
    }
    if (news.dial.size > 0) this.#metrics.ejected(this.#register.eject(news.dial, performance.now()))
  }

  #endEjections(): void {
    const nowMs = performance.now()
    if (nowMs - this.#ejectionsSteppedMs < ejectionsStepMs) return
    this.#ejectionsSteppedMs = nowMs
    this.#metrics.readmitted(this.#register.endEjections(nowMs))
  }

  #tellPanic(): void {
    const news = this.#register.takePanicNews()
    if (news !== undefined) this.#metrics.panic(news)
  }
}
