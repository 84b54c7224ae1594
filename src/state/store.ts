// Where Sluice keeps what must outlive a process: join tokens, enrolled nodes. Small values under keys with slashes, each with
// a revision, so that two writers who have read the same can't both win. The shape is etcd's, so that etcd can come
// behind it; test/compliance/store-suite.ts is what every store must pass.

export interface StoreEntry {
  readonly key: string
  readonly value: string
  /** Grows with each change of this key. */
  readonly revision: number
}

export interface Store {
  /** @returns undefined where there is none */
  get(key: string): Promise<StoreEntry | undefined>
  /** All whose key begins with `prefix` and a slash, in the order of their keys. */
  list(prefix: string): Promise<readonly StoreEntry[]>
  /**
   * Resolves once it would survive a crash of the machine.
   * @param ifRevision that of the entry which this one follows; 0: there is none
   * @returns the new entry, or undefined where another writer was there first: then nothing has changed
   */
  put(key: string, value: string, ifRevision: number): Promise<StoreEntry | undefined>
  /** As `put`, of nothing. @returns whether it was removed; false where another writer was there first */
  remove(key: string, ifRevision: number): Promise<boolean>
  /** Tells of changes below `prefix`, by whomever, soon after they were made; once it has resolved, of all from then on. */
  watch(prefix: string, changed: (key: string) => void): Promise<{ close(): void }>
  close(): void
}

export const storeLimits = {
  keyCharactersMax: 512,
  valueBytesMax: 64 * 1024,
} as const

/** A key or a value that no store would take. */
export class StoreMisuseError extends Error {
  readonly code = 'STORE_MISUSE'
}

/** The directory, or what is in it, is not what a store needs: says which path, what is wrong, and what was expected. */
export class StoreUnavailableError extends Error {
  readonly code = 'STORE_UNAVAILABLE'
}

const segment = /^(?!\.\.?$)[A-Za-z0-9._-]+$/

/** @throws {StoreMisuseError} */
export function checkKey(key: string): void {
  if (key.length > storeLimits.keyCharactersMax || !key.split('/').every((each) => segment.test(each))) {
    throw new StoreMisuseError(`${JSON.stringify(key)} is no key: segments of letters, digits, dots, hyphens and underscores, with slashes between, at most ${storeLimits.keyCharactersMax} characters`)
  }
}
