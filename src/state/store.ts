// Where Sluice keeps what must outlive a process, and what all processes are to know: join tokens, enrolled nodes, and, for as long as
// their holder lives, which gateway has which agent. Small values under keys with slashes, each with a revision, so that two writers
// who have read the same can't both win. The shape is etcd's; test/compliance/store-suite.ts is what every store must pass.

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
  /**
   * All that was put without a lease, as it was at one moment, in the order of the keys.
   * @throws {StoreUnavailableError} also where it changes too fast for that
   */
  snapshot(): Promise<readonly StoreEntry[]>
  /** Its keys are to be below prefixes of their own, where nobody puts without a lease. */
  lease(options: LeaseOptions): Promise<Lease>
  /**
   * Resolves once `watcher.all` was called. Whoever wants a copy that stays right takes `mirror` (mirror.ts), which stands on this.
   * @throws where the store is away; later it comes back by itself
   */
  watch(prefix: string, watcher: Watcher): Promise<Watch>
  /** Resolves once nothing is done for it in the background any more. */
  close(): Promise<void>
}

export interface Watch {
  /** Resolves once all was told that had been changed before the call. @throws {StoreUnavailableError} while it is away, or where that takes too long */
  caughtUp(): Promise<void>
  close(): void
}

/** Told of what is below a prefix: of each key in the order of its changes, whoever makes them, and never of an older value after a newer one. */
export interface Watcher {
  /** All that is there now: at first, and again wherever changes may have been missed. */
  all(entries: readonly StoreEntry[]): void
  /** It was changed; a value that was followed by another at once may be left out. */
  put(entry: StoreEntry): void
  /** It is not there any more; perhaps it was not told of. */
  removed(key: string): void
  /** Changes can't be heard of for now. */
  away(why: string): void
  /** They can, and those of meanwhile were told. */
  back(): void
}

export interface LeaseOptions {
  /** For so long it holds without being renewed, which it is by itself. */
  readonly ttlMs: number
  /** Once, where it has run out: nothing is left under it, and a new one is to be taken. */
  readonly lost: (why: string) => void
}

/**
 * Keys that vanish with their holder: when it has not renewed the lease for its time to live, because it has died, was paused, or can't reach
 * the store; or at `close`. They don't survive a crash of the machine. Calls for one key take effect in the order in which they are made.
 */
export interface Lease {
  /** Whatever was there. @throws {StoreUnavailableError} also where the lease has run out */
  put(key: string, value: string): Promise<void>
  /** Where it is under this lease. @throws as `put` */
  remove(key: string): Promise<void>
  /** All of it goes; it does not count as lost. */
  close(): Promise<void>
}

export const storeLimits = {
  keyCharactersMax: 512,
  valueBytesMax: 64 * 1024,
  caughtUpMs: 5_000,
  leaseTtlMsMin: 2_000,
  leaseTtlMsMax: 60 * 60 * 1_000,
} as const

/** A key, a value or a lease that no store would take. */
class StoreMisuseError extends Error {
  readonly code = 'STORE_MISUSE'
}

/** It can't be reached, or is not what a store needs: says what it is about, what is wrong, and what was expected. */
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

/** @throws {StoreMisuseError} */
export function checkValue(key: string, value: string): void {
  if (Buffer.byteLength(value) > storeLimits.valueBytesMax) throw new StoreMisuseError(`${key}: a value of over ${storeLimits.valueBytesMax} bytes`)
}

/** @throws {StoreMisuseError} */
export function checkLease({ ttlMs }: LeaseOptions): void {
  const { leaseTtlMsMin, leaseTtlMsMax } = storeLimits
  if (!Number.isInteger(ttlMs) || ttlMs < leaseTtlMsMin || ttlMs > leaseTtlMsMax) throw new StoreMisuseError(`a lease of ${ttlMs} ms: expected ${leaseTtlMsMin} to ${leaseTtlMsMax}`)
}
