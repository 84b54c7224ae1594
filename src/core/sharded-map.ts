// An immutable map by text whose changed copy shares with it what has not changed.
//
//   rows  [ row, row, … ]  ─▶  row  [ Map, Map, … ]        a key's hash says which row, and which shard of it
//   copy  [  ▲ , row', … ]  ─▶  row' [  ▲ , Map', … ]       a change copies the arrays and the shards on its way
//
// A look-up hashes its key once and then asks an ordinary Map, so it costs the same however many keys there are. A change
// costs what it changes: of 100,000 keys, a shard has one or two.

import { stableHash } from './stable-hash.ts'

/** 65,536 shards in all; a power of two. */
const rowCount = 256
const shardsPerRow = 256

type Shard<Value> = ReadonlyMap<string, Value>
type Row<Value> = readonly Shard<Value>[]

const emptyShard: Shard<never> = new Map<string, never>()
const emptyRow: Row<never> = Array.from({ length: shardsPerRow }, () => emptyShard)
const emptyRows: readonly Row<never>[] = Array.from({ length: rowCount }, () => emptyRow)

/** Undefined stands for no value. */
export interface KeyChange<Value> {
  readonly key: string
  readonly before: Value | undefined
  readonly after: Value | undefined
}

export class ShardedMap<Value> {
  readonly #rows: readonly Row<Value>[]
  readonly size: number

  /** Empty. The parameters are for drafts. */
  constructor(rows: readonly Row<Value>[] = emptyRows, size = 0) {
    this.#rows = rows
    this.size = size
  }

  get(key: string): Value | undefined {
    const hash = stableHash(key)
    return this.#rows[rowOf(hash)]?.[shardOf(hash)]?.get(key)
  }

  /** The keys whose values are not the same as in an earlier map. What the two share is passed over. */
  * changesSince(before: ShardedMap<Value>): Generator<KeyChange<Value>, void, void> {
    for (let rowIndex = 0; rowIndex < rowCount; rowIndex++) {
      const [row = emptyRow, rowBefore = emptyRow] = [this.#rows[rowIndex], before.#rows[rowIndex]]
      if (row === rowBefore) continue
      for (let index = 0; index < shardsPerRow; index++) {
        const [shard = emptyShard, shardBefore = emptyShard] = [row[index], rowBefore[index]]
        if (shard !== shardBefore) yield* shardChanges(shardBefore, shard)
      }
    }
  }

  draft(): ShardedMapDraft<Value> {
    return new ShardedMapDraft(this.#rows, this.size)
  }
}

/** A map in the making; the one that it began as stays as it is. */
export class ShardedMapDraft<Value> {
  #rows: Row<Value>[]
  #size: number
  /** By the row's index: what was copied, and is seen by nobody else yet. */
  #own: (OwnRow<Value> | undefined)[] = []

  constructor(rows: readonly Row<Value>[], size: number) {
    this.#rows = [...rows]
    this.#size = size
  }

  get size(): number {
    return this.#size
  }

  get(key: string): Value | undefined {
    const hash = stableHash(key)
    return this.#rows[rowOf(hash)]?.[shardOf(hash)]?.get(key)
  }

  /** @returns whether there was none */
  set(key: string, value: Value): boolean {
    const shard = this.#ownShard(key)
    const sizeBefore = shard.size
    shard.set(key, value)
    this.#size += shard.size - sizeBefore
    return shard.size > sizeBefore
  }

  delete(key: string): void {
    if (this.#ownShard(key).delete(key)) this.#size -= 1
  }

  /** What is done to the draft later does not change the map. */
  done(): ShardedMap<Value> {
    const rows = this.#rows
    this.#rows = [...rows]
    this.#own = []
    return new ShardedMap(rows, this.#size)
  }

  #ownShard(key: string): Map<string, Value> {
    const hash = stableHash(key)
    const { row, shards } = this.#ownRow(rowOf(hash))
    const index = shardOf(hash)
    const own = shards[index]
    if (own !== undefined) return own
    const copy = new Map<string, Value>(row[index])
    row[index] = copy
    shards[index] = copy
    return copy
  }

  #ownRow(index: number): OwnRow<Value> {
    const own = this.#own[index]
    if (own !== undefined) return own
    const row = [...this.#rows[index] ?? emptyRow]
    this.#rows[index] = row
    const added = { row, shards: [] }
    this.#own[index] = added
    return added
  }
}

interface OwnRow<Value> {
  readonly row: Shard<Value>[]
  /** Those that were copied. */
  readonly shards: (Map<string, Value> | undefined)[]
}

function* shardChanges<Value>(shardBefore: Shard<Value>, shard: Shard<Value>): Generator<KeyChange<Value>, void, void> {
  for (const [key, after] of shard) {
    const before = shardBefore.get(key)
    if (before !== after) yield { key, before, after }
  }
  for (const [key, before] of shardBefore) {
    if (!shard.has(key)) yield { key, before, after: undefined }
  }
}

function rowOf(hash: number): number {
  return hash & (rowCount - 1)
}

function shardOf(hash: number): number {
  return (hash >>> 8) & (shardsPerRow - 1)
}
