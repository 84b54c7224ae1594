// Tenants of the store, as they are written there: collected for a moment, so that many that come together are one change of the configuration.

import { mirror } from '../state/mirror.ts'
import type { Store, StoreEntry, Watch } from '../state/store.ts'
import type { ConfigThread } from './config-thread.ts'

const prefix = 'tenants'
/** From the first change to the telling of all that came meanwhile. */
const collectMs = 50

export interface StoredTenantsOptions {
  readonly store: Store
  readonly thread: Pick<ConfigThread, 'changeStored'>
  /** The thread has them. */
  readonly changed: () => void
}

export class StoredTenants {
  readonly #options: StoredTenantsOptions
  /** By name; undefined: it is gone. */
  readonly #changes = new Map<string, string | undefined>()
  #timer: NodeJS.Timeout | undefined
  #isBegun = false
  #watch: Watch | undefined

  private constructor(options: StoredTenantsOptions) {
    this.#options = options
  }

  /** Resolves when the thread has all that there are. @throws {StoreUnavailableError} */
  static async open(options: StoredTenantsOptions): Promise<StoredTenants> {
    const tenants = new StoredTenants(options)
    tenants.#watch = await mirror(options.store, prefix, {
      put: ({ key, value }: StoreEntry) => tenants.#change(key, value),
      removed: (key) => tenants.#change(key, undefined),
    })
    tenants.#tell()
    tenants.#isBegun = true
    return tenants
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#watch?.close()
  }

  #change(key: string, text: string | undefined): void {
    this.#changes.set(key.slice(prefix.length + 1), text)
    if (!this.#isBegun) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#tell()
      this.#options.changed()
    }, collectMs)
  }

  #tell(): void {
    this.#options.thread.changeStored([...this.#changes].map(([name, text]) => ({ name, text })))
    this.#changes.clear()
  }
}
