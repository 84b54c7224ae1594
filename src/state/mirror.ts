// A copy of what a store holds below a prefix, kept right by its watch: whoever asks it needs no round trip, and while the store is away
// it stays as it was. Its handler is told of differences only.

import type { Store, StoreEntry, Watch } from './store.ts'

export interface MirrorHandler {
  put(entry: StoreEntry): void
  removed(key: string): void
  /** What was told may have changed; once it was told how, `back` is called. */
  away?(why: string): void
  back?(): void
}

/**
 * Resolves when everything below the prefix was told; then tells each change, for each key in order, and never an older value after a newer
 * one. After the store was away it tells what has become different.
 */
export async function mirror(store: Store, prefix: string, handler: MirrorHandler): Promise<Watch> {
  const told = new Map<string, number>()
  const put = (entry: StoreEntry): void => {
    if (told.get(entry.key) === entry.revision) return
    told.set(entry.key, entry.revision)
    handler.put(entry)
  }
  const removed = (key: string): void => {
    if (told.delete(key)) handler.removed(key)
  }
  return await store.watch(prefix, {
    all: (entries) => {
      const gone = new Set(told.keys())
      for (const { key } of entries) gone.delete(key)
      for (const key of gone) removed(key)
      for (const entry of entries) put(entry)
    },
    put,
    removed,
    away: (why) => handler.away?.(why),
    back: () => handler.back?.(),
  })
}
