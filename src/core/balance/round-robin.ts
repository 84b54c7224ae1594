// Round robin (IPVS `rr`): each endpoint in its turn, whatever its load. Weight 0 is passed over.

import type { Endpoint } from './endpoint.ts'
import type { Scheduler } from './scheduler.ts'

export class RoundRobin implements Scheduler {
  readonly kind = 'rr'
  readonly endpoints: readonly Endpoint[]
  #next: number

  /** @param firstIndex whose turn it is first; different ones spread tenants and gateways over a pool's nodes */
  constructor(endpoints: readonly Endpoint[], firstIndex = 0) {
    this.endpoints = endpoints
    this.#next = endpoints.length === 0 ? 0 : firstIndex % endpoints.length
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    for (let step = 0; step < this.endpoints.length; step++) {
      const index = (this.#next + step) % this.endpoints.length
      const endpoint = this.endpoints[index]
      if (endpoint === undefined || endpoint.weight === 0 || tried.includes(endpoint)) continue
      this.#next = (index + 1) % this.endpoints.length
      return endpoint
    }
    return undefined
  }
}
