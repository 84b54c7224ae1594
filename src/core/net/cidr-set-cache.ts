// One set for equal lists of networks: thousands of tenants tend to allow the same few sources.

import { CidrSet } from './cidr.ts'

/** Of all keys together; the sets take some ten times that. */
const keyCharsMax = 4 * 1024 * 1024

export class CidrSetCache {
  readonly #sets = new Map<string, CidrSet>()
  #keyChars = 0

  /** @throws {InvalidCidrError} */
  setOf(networks: readonly string[]): CidrSet {
    const key = networks.join(' ')
    const known = this.#sets.get(key)
    if (known !== undefined) return known
    // Sharing only saves memory: those who have a set keep it, and the next ones share anew.
    if (this.#keyChars + key.length > keyCharsMax) this.#clear()
    const set = CidrSet.of(networks)
    this.#sets.set(key, set)
    this.#keyChars += key.length
    return set
  }

  #clear(): void {
    this.#sets.clear()
    this.#keyChars = 0
  }
}
