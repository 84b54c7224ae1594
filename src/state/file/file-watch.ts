// One watch of a file store: takes hints from the feed, reads what is there now, and tells it, one key after the other. So what it tells of a
// key never goes back in time, and changes that come faster than they are read are told once.

import { StoreUnavailableError, storeLimits, type StoreEntry, type Watch, type Watcher } from '../store.ts'
import type { FeedListener } from './change-feed.ts'

/** Beyond, everything is read again. */
const changedKeysMax = 10_000
const retryMs = 1_000

interface Source {
  get(key: string): Promise<StoreEntry | undefined>
  list(prefix: string): Promise<readonly StoreEntry[]>
}

interface FileWatchParts {
  readonly source: Source
  readonly readFeed: () => Promise<void>
  readonly prefix: string
  readonly watcher: Watcher
  readonly closed: (watch: FileWatch) => void
}

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class FileWatch implements FeedListener, Watch {
  readonly #source: Source
  readonly #prefix: string
  readonly #watcher: Watcher
  readonly #parts: FileWatchParts
  /** For it to have nothing left to tell. */
  readonly #waiting = new Set<Waiting>()
  readonly #changed = new Set<string>()
  #missed = false
  #busy = true
  #closed = false
  #isAway = false
  #retry: NodeJS.Timeout | undefined
  #working: Promise<void> = Promise.resolve()

  constructor(parts: FileWatchParts) {
    this.#source = parts.source
    this.#prefix = parts.prefix
    this.#watcher = parts.watcher
    this.#parts = parts
  }

  /** Once, when it hears of changes already. */
  async begin(): Promise<void> {
    this.#watcher.all(await this.#source.list(this.#prefix))
    this.#busy = false
    this.#start()
  }

  async caughtUp(): Promise<void> {
    await this.#parts.readFeed()
    if (this.#isAway) throw new StoreUnavailableError('what has changed can’t be read; expected it to be, as before')
    if (!this.#busy) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(new Error(`changes are still read after ${storeLimits.caughtUpMs} ms`)), storeLimits.caughtUpMs)
      this.#waiting.add({
        resolve: () => {
          clearTimeout(timer)
          resolve()
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
    })
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#giveUp(new Error('the watch was closed'))
    this.#parts.closed(this)
  }

  /** Once closed: resolves when nothing of it reads any more. A read may write: it moves a dead holder's values away. */
  async ended(): Promise<void> {
    await this.#working
  }

  #giveUp(error: Error): void {
    for (const { reject } of this.#waiting) reject(new StoreUnavailableError(`what has changed can't be read: ${error.message}`, { cause: error }))
    this.#waiting.clear()
  }

  changed(key: string): void {
    if (!key.startsWith(`${this.#prefix}/`)) return
    if (this.#changed.size < changedKeysMax) this.#changed.add(key)
    else this.#missed = true
    this.#start()
  }

  missed(): void {
    this.#missed = true
    this.#start()
  }

  failed(error: Error): void {
    if (!this.#isAway) this.#watcher.away(error.message)
    this.#isAway = true
    this.#giveUp(error)
  }

  #start(): void {
    if (!this.#busy) this.#working = this.#work()
  }

  async #work(): Promise<void> {
    this.#busy = true
    while (!this.#closed && (this.#missed || this.#changed.size > 0)) {
      const tell = await this.#read().catch((error: unknown) => error instanceof Error ? error : new Error(String(error)))
      if (this.#closed) return
      if (tell instanceof Error) {
        this.failed(tell)
        this.#missed = true
        this.#retry = setTimeout(() => {
          this.#busy = false
          this.#start()
        }, retryMs)
        this.#retry.unref()
        return
      }
      tell()
      if (this.#isAway) this.#watcher.back()
      this.#isAway = false
    }
    this.#busy = false
    for (const { resolve } of this.#waiting) resolve()
    this.#waiting.clear()
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
