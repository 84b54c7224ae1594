// An immutable map by text whose changed copy shares with it what has not changed.
//
//   shards  [ Map, Map, Map, … ]          a look-up hashes its key once for the shard; the shard is an ordinary Map
//   copy    [ ▲  , Map', ▲ , … ]          a change copies the outer array and the shards that it touches
//
// So a look-up costs the same however many keys there are, and a change costs what it changes: of 100,000 keys, a shard
// has some 25.

import { stableHash } from './stable-hash.ts'

/** A power of two. The outer array is copied at each change: 32 KiB. */
const shardCount = 4_096

type Shards<Value> = readonly ReadonlyMap<string, Value>[]

const emptyShard: ReadonlyMap<string, never> = new Map<string, never>()
const emptyShards: Shards<never> = Array.from({ length: shardCount }, () => emptyShard)

export class ShardedMap<Value> {
  readonly #shards: Shards<Value>
  readonly size: number

  /** Empty. The parameters are for drafts. */
  constructor(shards: Shards<Value> = emptyShards, size = 0) {
    this.#shards = shards
    this.size = size
  }

  get(key: string): Value | undefined {
    return this.#shards[shardOf(key)]?.get(key)
  }

  /** The keys whose values are not the same as in an earlier map. What the two share is passed over. */
  * changesSince(before: ShardedMap<Value>): Generator<KeyChange<Value>, void, void> {
    for (const [index, shard] of this.#shards.entries()) {
      const shardBefore: ReadonlyMap<string, Value> = before.#shards[index] ?? emptyShard
      if (shard === shardBefore) continue
      for (const [key, after] of shard) {
        if (shardBefore.get(key) !== after) yield { key, before: shardBefore.get(key), after }
      }
      for (const [key, before] of shardBefore) {
        if (!shard.has(key)) yield { key, before, after: undefined }
      }
    }
  }

  draft(): ShardedMapDraft<Value> {
    return new ShardedMapDraft(this.#shards, this.size)
  }
}

/** Undefined stands for no value. */
export interface KeyChange<Value> {
  readonly key: string
  readonly before: Value | undefined
  readonly after: Value | undefined
}

/** A map in the making; the one that it began as stays as it is. */
export class ShardedMapDraft<Value> {
  #shards: ReadonlyMap<string, Value>[]
  /** Copied, and seen by nobody else yet. */
  readonly #own = new Map<number, Map<string, Value>>()
  #size: number

  constructor(shards: Shards<Value>, size: number) {
    this.#shards = [...shards]
    this.#size = size
  }

  get(key: string): Value | undefined {
    return this.#shards[shardOf(key)]?.get(key)
  }

  set(key: string, value: Value): void {
    const shard = this.#ownShard(key)
    const sizeBefore = shard.size
    shard.set(key, value)
    this.#size += shard.size - sizeBefore
  }

  delete(key: string): void {
    if (this.#ownShard(key).delete(key)) this.#size -= 1
  }

  /** What is done to the draft later does not change the map. */
  done(): ShardedMap<Value> {
    const shards = this.#shards
    this.#shards = [...shards]
    this.#own.clear()
    return new ShardedMap(shards, this.#size)
  }

  #ownShard(key: string): Map<string, Value> {
    const index = shardOf(key)
    const own = this.#own.get(index)
    if (own !== undefined) return own
    const copy = new Map(this.#shards[index])
    this.#shards[index] = copy
    this.#own.set(index, copy)
    return copy
  }
}

function shardOf(key: string): number {
  return stableHash(key) & (shardCount - 1)
}
