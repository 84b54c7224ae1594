// What a thread that begins anew must be told: the whole of what was published so far, as one change.

import type { ProcessLimits } from './limit/limits.ts'
import type { ListenerSpec, SnapshotChange, TenantSpec } from './snapshot.ts'

export class SnapshotMemory {
  readonly #tenants = new Map<string, TenantSpec>()
  #listeners: readonly ListenerSpec[] = []
  #tunnelHostnames: readonly string[] = []
  #limits: ProcessLimits = {}
  #version = 0

  /** By name. */
  get tenants(): ReadonlyMap<string, TenantSpec> {
    return this.#tenants
  }

  remember({ version, listeners, tunnelHostnames = [], limits = {}, tenants, removedTenants }: SnapshotChange): void {
    this.#version = version
    this.#listeners = listeners
    this.#tunnelHostnames = tunnelHostnames
    this.#limits = limits
    if (removedTenants === 'all-others') this.#tenants.clear()
    else for (const name of removedTenants) this.#tenants.delete(name)
    for (const tenant of tenants) this.#tenants.set(tenant.name, tenant)
  }

  whole(): SnapshotChange {
    return { version: this.#version, listeners: this.#listeners, tunnelHostnames: this.#tunnelHostnames, limits: this.#limits, tenants: [...this.#tenants.values()], removedTenants: 'all-others' }
  }
}
