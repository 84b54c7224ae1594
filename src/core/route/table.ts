// The hostnames' table: built once, read by every connection, replaced whole.
//
// An exact name wins; then the wildcard with most labels, as in Gateway API's TLSRoute. A lookup asks one map at most once
// for each label of the name, so its cost follows from the name and not from how many names there are.

export interface HostnameMatch<Value> {
  /** As it stands in the table: a name, or `*.` and a suffix. */
  readonly pattern: string
  readonly value: Value
}

/** Two values claim one hostname. The configuration is checked before, so this is a bug of the caller. */
export class DuplicateHostnameError extends Error {
  readonly code = 'DUPLICATE_HOSTNAME'
  readonly pattern: string

  constructor(pattern: string) {
    super(`the hostname ${pattern} stands in the table twice`)
    this.pattern = pattern
  }
}

export class HostnameTable<Value> {
  /** Exact names as they are, wildcards by their `.suffix`. */
  readonly #matches: ReadonlyMap<string, HostnameMatch<Value>>

  private constructor(matches: ReadonlyMap<string, HostnameMatch<Value>>) {
    this.#matches = matches
  }

  /**
   * @param entries patterns as `parseHostnamePattern` gives them
   * @throws {DuplicateHostnameError}
   */
  static build<Value>(entries: Iterable<HostnameMatch<Value>>): HostnameTable<Value> {
    const matches = new Map<string, HostnameMatch<Value>>()
    for (const { pattern, value } of entries) {
      const key = pattern.startsWith('*') ? pattern.slice(1) : pattern
      if (matches.has(key)) throw new DuplicateHostnameError(pattern)
      matches.set(key, { pattern, value })
    }
    return new HostnameTable(matches)
  }

  get size(): number {
    return this.#matches.size
  }

  /** @param hostname normalised */
  lookup(hostname: string): HostnameMatch<Value> | undefined {
    const exact = this.#matches.get(hostname)
    if (exact !== undefined) return exact
    // `*.x` never matches `x`: the first suffix begins at the first dot.
    for (let dot = hostname.indexOf('.'); dot !== -1; dot = hostname.indexOf('.', dot + 1)) {
      const match = this.#matches.get(hostname.slice(dot))
      if (match !== undefined) return match
    }
    return undefined
  }

  /** Every entry, in the order of the configuration. */
  entries(): Iterable<HostnameMatch<Value>> {
    return this.#matches.values()
  }
}
