// One watch of etcd: all that is there at one revision, then every change from the next one on. A stream that breaks is begun anew where it
// ended, at the next member; where that revision was compacted meanwhile, with all that is there.

import { setTimeout as delay } from 'node:timers/promises'
import { storeLimits, StoreUnavailableError, type StoreEntry, type Watch, type Watcher } from '../store.ts'
import { methods, type KeyValue, type WatchResponse } from './etcd-api.ts'
import type { EtcdKeys } from './etcd-keys.ts'
import { reasonOf, type Members, type OpenStream } from './members.ts'

/** How often etcd is asked to which revision all was told: an old revision could be compacted, and a stream that is silent is dead. */
const progressMs = 5_000
const silenceMs = 15_000
const pauseMsMin = 100
const pauseMsMax = 2_000
/** A stream that begins again within this time is nobody's concern. */
const awayAfterMs = 1_000
/** Of one who waits for what was changed. */
const lookMs = 5
const askTurns = 10

interface EtcdWatchParts {
  readonly members: Members
  readonly keys: EtcdKeys
  readonly prefix: string
  readonly watcher: Watcher
  readonly list: (prefix: string) => Promise<{ readonly entries: readonly StoreEntry[]; readonly revision: number }>
  readonly entryOf: (kv: KeyValue) => StoreEntry
  /** Of the last change. */
  readonly revision: () => Promise<number>
  readonly closed: (watch: EtcdWatch) => void
}

export class EtcdWatch implements Watch {
  readonly #parts: EtcdWatchParts
  /** The first revision that was not told. */
  #next = 0
  #stream: OpenStream<typeof methods.watch>['stream'] | undefined
  #isClosed = false
  #brokenAtMs: number | undefined
  #isAway = false
  #failures = 0
  #timers: NodeJS.Timeout[] = []

  constructor(parts: EtcdWatchParts) {
    this.#parts = parts
  }

  /** Once. @throws as the list of all that is there */
  async begin(): Promise<void> {
    await this.#tellAll()
    void this.#follow()
  }

  async caughtUp(): Promise<void> {
    if (this.#isAway) throw new StoreUnavailableError(`${this.#parts.members.name} is away; expected it to be back`)
    const revision = await this.#parts.revision()
    const untilMs = performance.now() + storeLimits.caughtUpMs
    for (let turn = 0; this.#next <= revision; turn++) {
      if (this.#isClosed || performance.now() > untilMs) throw new StoreUnavailableError(`what has changed is not told by ${this.#parts.members.name}; expected revision ${revision} within ${storeLimits.caughtUpMs} ms`)
      // The member that tells may be behind the one that was asked.
      if (turn % askTurns === 0) this.#askProgress()
      await delay(lookMs)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#endStream()
    this.#parts.closed(this)
  }

  async #tellAll(): Promise<void> {
    const { entries, revision } = await this.#parts.list(this.#parts.prefix)
    if (this.#isClosed) return
    this.#parts.watcher.all(entries)
    this.#next = revision + 1
  }

  /** Until it is closed. */
  async #follow(): Promise<void> {
    while (!this.#isClosed) {
      const why = await this.#run()
      if (this.#isClosed) return
      this.#brokenAtMs ??= performance.now()
      if (!this.#isAway && performance.now() - this.#brokenAtMs > awayAfterMs) {
        this.#isAway = true
        this.#parts.watcher.away(why)
      }
      // The first time at once: the next member is there already.
      const pauseMs = this.#failures === 0 ? 0 : Math.min(pauseMsMax, pauseMsMin * 2 ** this.#failures)
      this.#failures += 1
      await new Promise<void>((resolve) => {
        this.#timers.push(setTimeout(resolve, pauseMs * (0.5 + Math.random() / 2)))
      })
    }
  }

  /** One stream, from its begin to its end. @returns why it ended */
  async #run(): Promise<string> {
    const { members, keys, prefix } = this.#parts
    let failed: ((error: unknown) => void) | undefined
    try {
      const opened = await members.stream(methods.watch)
      failed = (error) => opened.failed(error)
      const { stream } = opened
      this.#stream = stream
      if (this.#isClosed) this.#endStream()
      const ended = new Promise<Error>((resolve) => {
        stream.on('error', resolve)
        stream.on('end', () => resolve(new Error('etcd has ended the stream')))
        let heardAtMs = performance.now()
        stream.on('data', (response: WatchResponse) => {
          heardAtMs = performance.now()
          if (response.canceled) resolve(new WatchCancelled(response))
          else if (!response.created && !this.#isClosed) this.#tell(response)
          // Answered when all was told that there is; a revision that is compacted is cancelled instead.
          if (response.created || this.#isAway) this.#askProgress()
        })
        this.#timers.push(setInterval(() => {
          if (performance.now() - heardAtMs > silenceMs) resolve(new WatchSilent())
          else this.#askProgress()
        }, progressMs))
      })
      // From the last that was told: of a revision that is yet to come no progress is reported.
      stream.write({ createRequest: { ...keys.range(prefix), startRevision: this.#next - 1, progressNotify: true, fragment: true } })
      const error = await ended
      this.#endStream()
      if (error instanceof WatchSilent) opened.failed(error)
      else if (!(error instanceof WatchCancelled && error.isCompacted)) throw error
      await this.#tellAll()
      return error.message
    } catch (error) {
      this.#endStream()
      failed?.(error)
      return reasonOf(error)
    }
  }

  #tell({ header, events, fragment }: WatchResponse): void {
    const { watcher, keys, entryOf } = this.#parts
    for (const { type, kv } of events) {
      if (Number(kv.modRevision) < this.#next) continue
      if (type === 'PUT') watcher.put(entryOf(kv))
      else watcher.removed(keys.decode(kv.key))
    }
    const last = events.at(-1)
    if (last !== undefined) {
      this.#next = Math.max(this.#next, Number(last.kv.modRevision) + (fragment ? 0 : 1))
      return
    }
    this.#next = Math.max(this.#next, Number(header.revision) + 1)
    this.#failures = 0
    this.#brokenAtMs = undefined
    if (this.#isAway) watcher.back()
    this.#isAway = false
  }

  #askProgress(): void {
    this.#stream?.write({ progressRequest: {} })
  }

  #endStream(): void {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer)
    this.#stream?.on('error', () => undefined)
    this.#stream?.cancel()
    this.#stream = undefined
  }
}

/** Its member is gone, or the revision that it waits for is yet to come: of an etcd that was restored from a backup. */
class WatchSilent extends Error {
  constructor() {
    super(`nothing was heard for ${silenceMs} ms`)
  }
}

class WatchCancelled extends Error {
  readonly isCompacted: boolean

  constructor({ cancelReason, compactRevision }: WatchResponse) {
    super(`etcd has cancelled the watch: ${cancelReason === '' ? `compacted to ${compactRevision}` : cancelReason}`)
    this.isCompacted = compactRevision !== '0'
  }
}
