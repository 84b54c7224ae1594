// The nodes of a store as a running gateway has them: by key, without a round trip, and also while the store is away.
//
// A key has one record, but for two enrolments of one key for two tenants that were made at once, at two gateways. Then the first counts, and
// a revocation of either is one of the key.

import type { NodeRecord } from '../core/identity/join-token.ts'
import { mirror } from './mirror.ts'
import { StoreUnavailableError, type Store, type StoreEntry, type Watch } from './store.ts'

export interface NodeWatcher {
  /** Also one that is gone. */
  revoked(keyId: string): void
  away(why: string): void
  back(): void
}

/** What is stored of a node, and where. */
export interface StoredNode extends NodeRecord {
  readonly keyId: string
  readonly key: string
  readonly revision: number
}

export class NodeMirror {
  /** By key id: never empty. */
  readonly #nodes = new Map<string, readonly StoredNode[]>()
  readonly #watchers = new Set<NodeWatcher>()
  #count = 0
  #watch: Watch | undefined

  private constructor() {}

  /** Resolves when it has all nodes. @throws {StoreUnavailableError} */
  static async open(store: Store): Promise<NodeMirror> {
    const nodes = new NodeMirror()
    nodes.#watch = await mirror(store, 'nodes', {
      put: (entry) => nodes.#put(entry),
      removed: (key) => nodes.#removed(key),
      away: (why) => {
        for (const watcher of nodes.#watchers) watcher.away(why)
      },
      back: () => {
        for (const watcher of nodes.#watchers) watcher.back()
      },
    })
    return nodes
  }

  /** Records, of all tenants. */
  get count(): number {
    return this.#count
  }

  /** As far as it has heard. */
  get(keyId: string): StoredNode | undefined {
    return countingOne(this.#nodes.get(keyId) ?? [])
  }

  /** Asks the store only where the key is not known. @throws {StoreUnavailableError} */
  async find(keyId: string): Promise<StoredNode | undefined> {
    const known = this.get(keyId)
    if (known !== undefined) return known
    await this.caughtUp()
    return this.get(keyId)
  }

  async caughtUp(): Promise<void> {
    await this.#watch?.caughtUp()
  }

  * all(): Generator<StoredNode> {
    for (const records of this.#nodes.values()) yield* records
  }

  /** From now on. */
  watch(watcher: NodeWatcher): { close(): void } {
    this.#watchers.add(watcher)
    return { close: () => this.#watchers.delete(watcher) }
  }

  /** What can't be read lets nobody in, as if it were gone, and must not end the process: every gateway is told of it. */
  #put(entry: StoreEntry): void {
    const node = recordIn(entry.value)
    if (node === undefined) this.#removed(entry.key)
    else this.#keep({ ...node, keyId: lastSegment(entry.key), key: entry.key, revision: entry.revision })
  }

  #keep(node: StoredNode): void {
    this.#nodes.set(node.keyId, [...this.#without(node.key, node.keyId), node])
    this.#count += 1
    if (node.revokedAtMs !== undefined) this.#tellRevoked(node.keyId)
  }

  #removed(key: string): void {
    const keyId = lastSegment(key)
    const rest = this.#without(key, keyId)
    if (rest.length === 0) {
      this.#nodes.delete(keyId)
      this.#tellRevoked(keyId)
    } else {
      this.#nodes.set(keyId, rest)
    }
  }

  #without(key: string, keyId: string): readonly StoredNode[] {
    const records = this.#nodes.get(keyId) ?? []
    const rest = records.filter((each) => each.key !== key)
    this.#count -= records.length - rest.length
    return rest
  }

  #tellRevoked(keyId: string): void {
    for (const watcher of this.#watchers) watcher.revoked(keyId)
  }
}

/** @throws {StoreUnavailableError} for what is no node's record */
export function storedNode({ key, value, revision }: StoreEntry): StoredNode {
  const record = recordIn(value)
  if (record === undefined) throw new StoreUnavailableError(`${key}: ${JSON.stringify(value.slice(0, 40))} is no node’s record; expected what Sluice has written, or nothing`)
  return { ...record, keyId: lastSegment(key), key, revision }
}

function recordIn(value: string): NodeRecord | undefined {
  try {
    const record: NodeRecord | null = JSON.parse(value)
    return typeof record?.tenant === 'string' && typeof record.name === 'string' ? record : undefined
  } catch {
    return undefined
  }
}

export function lastSegment(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

function countingOne(records: readonly StoredNode[]): StoredNode | undefined {
  if (records.length < 2) return records[0]
  return records.find(({ revokedAtMs }) => revokedAtMs !== undefined)
    ?? records.toSorted((a, b) => a.enrolledAtMs - b.enrolledAtMs || (a.key < b.key ? -1 : 1))[0]
}
