// One watch of a file store: takes hints from the feed, reads what is there now, and tells it, one key after the other. So what it tells of a
// key never goes back in time, and changes that come faster than they are read are told once.

import type { StoreEntry, Watcher } from '../store.ts'
import type { FeedListener } from './change-feed.ts'

/** Beyond, everything is read again. */
const changedKeysMax = 10_000
const retryMs = 1_000

interface Source {
  get(key: string): Promise<StoreEntry | undefined>
  list(prefix: string): Promise<readonly StoreEntry[]>
}

export class FileWatch implements FeedListener {
  readonly #source: Source
  readonly #prefix: string
  readonly #watcher: Watcher
  readonly #changed = new Set<string>()
  #missed = false
  #busy = true
  #closed = false
  #isAway = false
  #retry: NodeJS.Timeout | undefined

  constructor(source: Source, prefix: string, watcher: Watcher) {
    this.#source = source
    this.#prefix = prefix
    this.#watcher = watcher
  }

  /** Once, when it hears of changes already. */
  async begin(): Promise<void> {
    this.#watcher.all(await this.#source.list(this.#prefix))
    this.#busy = false
    void this.#work()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
  }

  changed(key: string): void {
    if (!key.startsWith(`${this.#prefix}/`)) return
    if (this.#changed.size < changedKeysMax) this.#changed.add(key)
    else this.#missed = true
    void this.#work()
  }

  missed(): void {
    this.#missed = true
    void this.#work()
  }

  failed(error: Error): void {
    if (!this.#isAway) this.#watcher.away(error.message)
    this.#isAway = true
  }

  async #work(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    while (!this.#closed && (this.#missed || this.#changed.size > 0)) {
      const tell = await this.#read().catch((error: unknown) => error instanceof Error ? error : new Error(String(error)))
      if (this.#closed) return
      if (tell instanceof Error) {
        this.failed(tell)
        this.#missed = true
        this.#retry = setTimeout(() => {
          this.#busy = false
          void this.#work()
        }, retryMs)
        this.#retry.unref()
        return
      }
      tell()
      if (this.#isAway) this.#watcher.back()
      this.#isAway = false
    }
    this.#busy = false
  }

  async #read(): Promise<() => void> {
    if (this.#missed) {
      this.#missed = false
      this.#changed.clear()
      const entries = await this.#source.list(this.#prefix)
      return () => this.#watcher.all(entries)
    }
    const [key = ''] = this.#changed
    this.#changed.delete(key)
    const entry = await this.#source.get(key)
    return () => entry === undefined ? this.#watcher.removed(key) : this.#watcher.put(entry)
  }
}
