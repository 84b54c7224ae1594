// The hostnames' table: read by every connection, immutable; a changed one shares with it what has not changed.
//
// An exact name wins; then the wildcard with most labels, as in Gateway API's TLSRoute. A lookup asks one map at most once
// for each label of the name, so its cost follows from the name and not from how many names there are.

import { ShardedMap, type ShardedMapDraft } from '../sharded-map.ts'

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
  readonly #matches: ShardedMap<HostnameMatch<Value>>

  /** Empty. The parameter is for drafts. */
  constructor(matches = new ShardedMap<HostnameMatch<Value>>()) {
    this.#matches = matches
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

  draft(): HostnameTableDraft<Value> {
    return new HostnameTableDraft(this.#matches.draft())
  }
}

/** A table in the making; patterns are as `parseHostnamePattern` gives them. */
export class HostnameTableDraft<Value> {
  readonly #matches: ShardedMapDraft<HostnameMatch<Value>>

  constructor(matches: ShardedMapDraft<HostnameMatch<Value>>) {
    this.#matches = matches
  }

  /** @throws {DuplicateHostnameError}, after which the draft is of no use */
  add(pattern: string, value: Value): void {
    const key = keyOf(pattern)
    if (!this.#matches.set(key, { pattern, value })) throw new DuplicateHostnameError(pattern)
  }

  remove(pattern: string): void {
    this.#matches.delete(keyOf(pattern))
  }

  /** What is done to the draft later does not change the table. */
  done(): HostnameTable<Value> {
    return new HostnameTable(this.#matches.done())
  }
}

function keyOf(pattern: string): string {
  return pattern.startsWith('*') ? pattern.slice(1) : pattern
}
