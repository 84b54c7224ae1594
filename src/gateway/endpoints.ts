// The gateway's endpoints, for who operates it: what state each is in and why, and a say in it.

import { EndpointRegister, type EndpointFigures, type EndpointPlace, type EndpointState, type EndpointStatus } from '../core/balance/endpoint-register.ts'
import type { ActiveCells } from '../core/balance/active-counts.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import type { SnapshotChange } from '../core/snapshot.ts'
import type { Logger } from '../observe/log.ts'

export class GatewayEndpoints {
  readonly #register: EndpointRegister
  readonly #logger: Logger

  constructor({ cells, logger }: { readonly cells: ActiveCells; readonly logger: Logger }) {
    this.#register = new EndpointRegister(cells)
    this.#logger = logger
  }

  /** Of an address, a port or a tenant alone; absent: of all. @param max the first ones, in the order of their names */
  list(place: Partial<EndpointPlace> = {}, max = Infinity): EndpointStatus[] {
    return this.#register.list(place, max)
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
    this.#register.update(change, Date.now())
    this.#tellPanic()
  }

  #tellPanic(): void {
    const news = this.#register.takePanicNews()
    if (news === undefined) return
    const { began, ended } = news
    if (began.count > 0) this.#logger.error({ ...began }, 'all endpoints of these tenants are down by their checks: each is tried all the same')
    if (ended.count > 0) this.#logger.info({ ...ended }, 'these tenants have an endpoint again that is ready')
  }
}
