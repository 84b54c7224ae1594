// Which keys have changed, for watchers in any process: a file that writers append a line to, and watchers read on from where
// they were. It is a hint and not the state, so it needs no sync: what it would lose with the machine, nobody is left to hear.
//
// A feed that has grown long is put aside, and a new one begun; a watcher reads the old one to its end first.

import { appendFile, open, rename, stat, type FileHandle } from 'node:fs/promises'

const pollIntervalMs = 100
const feedBytesMax = 256 * 1024
const readBytesMax = 64 * 1024

export class ChangeFeed {
  readonly #file: string
  readonly #watchers = new Set<(key: string) => void>()
  #handle: FileHandle | undefined
  #at = 0
  #rest = ''
  #timer: NodeJS.Timeout | undefined
  #polling = false

  constructor(file: string) {
    this.#file = file
  }

  async append(key: string): Promise<void> {
    await appendFile(this.#file, `${key}\n`, { mode: 0o600 })
    const { size } = await stat(this.#file)
    if (size > feedBytesMax) await rename(this.#file, `${this.#file}.old`)
  }

  /** Told of what is appended from now on. */
  async watch(changed: (key: string) => void): Promise<{ close(): void }> {
    if (this.#watchers.size === 0) await this.#begin()
    this.#watchers.add(changed)
    return {
      close: () => {
        this.#watchers.delete(changed)
        if (this.#watchers.size === 0) this.close()
      },
    }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    void this.#handle?.close()
    this.#handle = undefined
  }

  async #begin(): Promise<void> {
    this.#handle = await open(this.#file, 'a+', 0o600)
    this.#at = (await this.#handle.stat()).size
    this.#rest = ''
    this.#timer = setInterval(() => void this.#poll(), pollIntervalMs)
    this.#timer.unref()
  }

  async #poll(): Promise<void> {
    if (this.#polling) return
    this.#polling = true
    try {
      await this.#readOn()
      await this.#followIfNew()
    } catch (error) {
      // A watcher that is closed meanwhile; else the next poll finds the same, and a reader of the state is told there.
      if (this.#handle !== undefined && !(error instanceof Error && 'code' in error)) throw error
    } finally {
      this.#polling = false
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
      for (const key of lines) for (const changed of this.#watchers) changed(key)
    }
  }

  async #followIfNew(): Promise<void> {
    const handle = this.#handle
    if (handle === undefined || (await handle.stat()).size <= feedBytesMax) return
    const next = await open(this.#file, 'a+', 0o600)
    // Not yet put aside: whoever has just made it too long is about to.
    if ((await next.stat()).ino === (await handle.stat()).ino) {
      await next.close()
      return
    }
    await this.#readOn()
    this.#handle = next
    this.#at = 0
    await handle.close()
  }
}
