// Which keys have changed, for watchers in any process: a file that writers append a line to, and watchers read on from where
// they were. It is a hint and not the state, so it needs no sync: what it would lose with the machine, nobody is left to hear.
//
// A feed that has grown long is put aside, and a new one begun; a watcher reads the old one to its end first. One that has slept
// through a whole feed is told so.

import { open, rename, stat, type FileHandle } from 'node:fs/promises'
import { orMissing } from './version-folder.ts'

const pollIntervalMs = 100
const feedBytesMax = 256 * 1024
const readBytesMax = 64 * 1024
/** A writer whose feed others put aside again and again; more is a bug. */
const appendAttemptsMax = 1_000

export interface FeedListener {
  changed(key: string): void
  /** Lines were put aside before they were read. */
  missed(): void
  /** Reading the feed failed; `missed` follows once it can be read. */
  failed(error: Error): void
}

export class ChangeFeed {
  readonly #file: string
  readonly #listeners = new Set<FeedListener>()
  /** For the next batch; who appends waits for it. */
  readonly #pending: string[] = []
  #batch: Promise<void> | undefined
  #writing: Promise<void> = Promise.resolve()
  #handle: FileHandle | undefined
  #at = 0
  #rest = ''
  #timer: NodeJS.Timeout | undefined
  #polling: Promise<void> | undefined
  #failed = false

  constructor(file: string) {
    this.#file = file
  }

  /** What comes while others are appended is appended together. */
  async append(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#pending.push(key)
    this.#batch ??= this.#appendPending()
    await this.#batch
  }

  async #appendPending(): Promise<void> {
    await this.#writing
    this.#batch = undefined
    const own = this.#write(this.#pending.splice(0))
    this.#writing = own.catch(() => undefined)
    await own
  }

  async #write(keys: readonly string[]): Promise<void> {
    const lines = keys.map((key) => `${key}\n`).join('')
    for (let attempt = 0; attempt < appendAttemptsMax; attempt++) {
      const handle = await open(this.#file, 'a', 0o600)
      try {
        await handle.appendFile(lines)
        const { ino, size } = await handle.stat()
        // Put aside meanwhile: whoever followed it may have read it to its end before these lines.
        if ((await orMissing(stat(this.#file)))?.ino !== ino) continue
        if (size > feedBytesMax) await orMissing(rename(this.#file, this.#asideFile))
        return
      } finally {
        await handle.close()
      }
    }
    throw new Error(`${this.#file} does not stay long enough to be written`)
  }

  /** Told of what is appended from now on. */
  async listen(listener: FeedListener): Promise<{ close(): void }> {
    this.#listeners.add(listener)
    if (this.#handle === undefined) await this.#begin()
    return {
      close: () => {
        this.#listeners.delete(listener)
        if (this.#listeners.size === 0) this.close()
      },
    }
  }

  /** Resolves once all was told, or a failure, that had been appended before the call. */
  async readNow(): Promise<void> {
    // One that is under way may have looked before.
    while (this.#polling !== undefined) await this.#polling
    this.#polling = this.#poll().finally(() => {
      this.#polling = undefined
    })
    await this.#polling
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    void this.#handle?.close()
    this.#handle = undefined
  }

  get #asideFile(): string {
    return `${this.#file}.old`
  }

  async #begin(): Promise<void> {
    const handle = await open(this.#file, 'a+', 0o600)
    if (this.#handle !== undefined) {
      await handle.close()
      return
    }
    this.#handle = handle
    this.#at = (await handle.stat()).size
    this.#rest = ''
    this.#timer = setInterval(() => {
      if (this.#polling === undefined) void this.readNow()
    }, pollIntervalMs)
    this.#timer.unref()
  }

  async #poll(): Promise<void> {
    try {
      // What was appended to the new one counts as much.
      do await this.#readOn()
      while (await this.#followIfNew())
      if (this.#failed) for (const listener of this.#listeners) listener.missed()
      this.#failed = false
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
      // Closed meanwhile: nobody is left to hear.
      if (this.#handle === undefined) return
      this.#failed = true
      for (const listener of this.#listeners) listener.failed(error)
    }
  }

  async #readOn(): Promise<void> {
    const handle = this.#handle
    if (handle === undefined) return
    const buffer = Buffer.alloc(readBytesMax)
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, readBytesMax, this.#at)
      if (bytesRead === 0) return
      this.#at += bytesRead
      const lines = (this.#rest + buffer.toString('latin1', 0, bytesRead)).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const key of lines) for (const listener of this.#listeners) listener.changed(key)
    }
  }

  /** @returns whether there is another one */
  async #followIfNew(): Promise<boolean> {
    const handle = this.#handle
    if (handle === undefined) return false
    const { ino } = await handle.stat()
    // Missing: put aside, and the next writer makes it anew.
    if ([ino, undefined].includes((await orMissing(stat(this.#file)))?.ino)) return false
    const next = await open(this.#file, 'a+', 0o600)
    const aside = await orMissing(stat(this.#asideFile))
    await this.#readOn()
    this.#handle = next
    this.#at = 0
    this.#rest = ''
    await handle.close()
    // The one that was followed is the last that was put aside, or others came between.
    if (aside?.ino !== ino) for (const listener of this.#listeners) listener.missed()
    return true
  }
}
