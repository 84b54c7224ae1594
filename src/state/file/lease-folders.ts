// Leases of a file store, and what is kept under them: nothing of it must survive the machine, so nothing is synced.
//
//   DIR/leases/<random>.<ttlMs>/alive                        touched by the holder every third of its time to live
//   DIR/leases/<random>.<ttlMs>/keys/agents/acme/node1@      `<revision>` and a line feed, then the value
//
// A lease whose folder is gone, or has no `alive` in it, has run out for good; one that was not touched for its time to live is moved away
// by whoever sees it first, and only then counts as run out: a holder that was paused finds no folder to touch.

import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf } from '../../core/error-code.ts'
import { KeyOrder } from '../key-order.ts'
import { checkKey, checkLease, checkValue, StoreUnavailableError, type Lease, type LeaseOptions, type StoreEntry } from '../store.ts'
import { keyMark, keysBelow } from './key-path.ts'
import { orMissing } from './version-folder.ts'

const renewalsPerTtl = 3
const folderName = /^[0-9a-f]+\.(\d+)$/

export class LeaseFolders {
  readonly #leases: string
  readonly #drafts: string
  readonly #changed: (keys: readonly string[]) => Promise<void>
  readonly #held = new Set<FileLease>()
  /** Folders of leases that have ended, on their way: of one that was lost nobody else waits for it. */
  readonly #leaving = new Set<Promise<void>>()

  /** @param changed tells others of these keys */
  constructor({ directory, changed }: { readonly directory: string; readonly changed: (keys: readonly string[]) => Promise<void> }) {
    this.#leases = join(directory, 'leases')
    this.#drafts = join(directory, 'drafts')
    this.#changed = changed
  }

  async take(options: LeaseOptions): Promise<Lease> {
    checkLease(options)
    const name = `${randomBytes(12).toString('hex')}.${options.ttlMs}`
    // Made whole, then moved to where others see it.
    const draft = join(this.#drafts, name)
    await mkdir(join(draft, 'keys'), { recursive: true, mode: 0o700 })
    await writeFile(join(draft, 'alive'), '', { mode: 0o600 })
    await rename(draft, join(this.#leases, name))
    const lease = new FileLease({
      options, folder: join(this.#leases, name), drafts: this.#drafts,
      current: async (key) => await this.get(key),
      changed: async (key) => await this.#changed([key]),
      ended: async () => {
        this.#held.delete(lease)
        const leaving = this.#moveAway(name)
        const settled = leaving.catch(() => undefined).finally(() => this.#leaving.delete(settled))
        this.#leaving.add(settled)
        await leaving
      },
    })
    this.#held.add(lease)
    return lease
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    let found: StoreEntry | undefined
    for (const name of await this.#names()) {
      const entry = await readEntry(join(this.#leases, name), key)
      if (entry !== undefined && await this.#isAlive(name)) found = newer(entry, found)
    }
    return found
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    const found = new Map<string, StoreEntry>()
    for (const name of await this.#names()) {
      const folder = join(this.#leases, name)
      const entries: StoreEntry[] = []
      for (const key of await keysBelow(join(folder, 'keys', prefix), prefix)) {
        const entry = await readEntry(folder, key)
        if (entry !== undefined) entries.push(entry)
      }
      // After they were read: what has run out meanwhile was moved away, or is now.
      if (entries.length === 0 || !await this.#isAlive(name)) continue
      for (const entry of entries) found.set(entry.key, newer(entry, found.get(entry.key)))
    }
    return [...found.values()]
  }

  /** Moves those that have run out away, so that watchers hear of it. */
  async reap(): Promise<void> {
    for (const name of await this.#names()) await this.#isAlive(name)
  }

  /** No holder touches them any more: they run out. */
  async close(): Promise<void> {
    for (const lease of this.#held) lease.forget()
    this.#held.clear()
    await Promise.all(this.#leaving)
  }

  async #names(): Promise<readonly string[]> {
    return (await readdir(this.#leases)).filter((name) => folderName.test(name))
  }

  async #isAlive(name: string): Promise<boolean> {
    const alive = await orMissing(stat(join(this.#leases, name, 'alive')))
    const ttlMs = Number(folderName.exec(name)?.[1])
    if (alive !== undefined && Math.abs(Date.now() - alive.mtimeMs) <= ttlMs) return true
    await this.#moveAway(name)
    return false
  }

  async #moveAway(name: string): Promise<void> {
    const folder = join(this.#leases, name)
    const keys = await keysBelow(join(folder, 'keys'), '')
    // Told before too: whoever moves it may die before it tells, and whoever hears moves it then.
    await this.#changed(keys)
    const grave = join(this.#drafts, randomBytes(12).toString('hex'))
    await orMissing(rename(folder, grave))
    await this.#changed(keys)
    await rm(grave, { recursive: true, force: true })
  }
}

interface FileLeaseParts {
  readonly options: LeaseOptions
  readonly folder: string
  readonly drafts: string
  /** Whoever's. */
  readonly current: (key: string) => Promise<StoreEntry | undefined>
  readonly changed: (key: string) => Promise<void>
  /** Moves the folder away. */
  readonly ended: () => Promise<void>
}

class FileLease implements Lease {
  readonly #parts: FileLeaseParts
  readonly #order = new KeyOrder()
  readonly #timer: NodeJS.Timeout
  #touchedAtMs = performance.now()
  #touching = false
  /** Undefined: it holds. */
  #ended: string | undefined

  constructor(parts: FileLeaseParts) {
    this.#parts = parts
    this.#timer = setInterval(() => void this.#touch(), parts.options.ttlMs / renewalsPerTtl)
    this.#timer.unref()
  }

  async put(key: string, value: string): Promise<void> {
    checkKey(key)
    checkValue(key, value)
    await this.#order.run(key, async () => {
      this.#check()
      const { folder, drafts, current, changed } = this.#parts
      const path = pathOf(folder, key)
      const draft = join(drafts, randomBytes(12).toString('hex'))
      // Also greater than that of an entry which was removed, as long as the clock runs forwards.
      const revision = Math.max(((await current(key))?.revision ?? 0) + 1, Date.now() * 1_000)
      await writeFile(draft, `${revision}\n${value}`, { mode: 0o600 })
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await rename(draft, path)
      this.#check()
      await changed(key)
    })
  }

  async remove(key: string): Promise<void> {
    checkKey(key)
    await this.#order.run(key, async () => {
      this.#check()
      await orMissing(unlink(pathOf(this.#parts.folder, key)))
      await this.#parts.changed(key)
    })
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return
    this.#end('it was closed')
    await this.#parts.ended()
  }

  forget(): void {
    this.#end('the store was closed')
  }

  async #touch(): Promise<void> {
    if (this.#touching || this.#ended !== undefined) return
    if (this.#overdueMs > 0) return this.#lose(`its holder did not run for ${Math.round(this.#overdueMs)} ms too long`)
    this.#touching = true
    const now = new Date()
    const atMs = performance.now()
    try {
      await utimes(join(this.#parts.folder, 'alive'), now, now)
      this.#touchedAtMs = atMs
    } catch (error) {
      // Anything else may pass: the next try comes before the lease has run out, or finds that it has.
      if (codeOf(error) === 'ENOENT') this.#lose('others found that its holder had not renewed it')
    } finally {
      this.#touching = false
    }
  }

  get #overdueMs(): number {
    return performance.now() - this.#touchedAtMs - this.#parts.options.ttlMs
  }

  #check(): void {
    if (this.#ended === undefined && this.#overdueMs > 0) this.#lose('its holder did not run for too long')
    if (this.#ended !== undefined) throw new StoreUnavailableError(`the lease holds no more: ${this.#ended}; expected a new one to be taken`)
  }

  #lose(why: string): void {
    if (this.#ended !== undefined) return
    this.#end(why)
    // Where that fails, the next who reads finds it.
    this.#parts.ended().catch(() => undefined)
    this.#parts.options.lost(why)
  }

  #end(why: string): void {
    this.#ended ??= why
    clearInterval(this.#timer)
  }
}

function pathOf(folder: string, key: string): string {
  return join(folder, 'keys', `${key}${keyMark}`)
}

async function readEntry(folder: string, key: string): Promise<StoreEntry | undefined> {
  const content = await orMissing(readFile(pathOf(folder, key), 'utf8'))
  if (content === undefined) return undefined
  const end = content.indexOf('\n')
  return { key, value: content.slice(end + 1), revision: Number(content.slice(0, end)) }
}

/** Of a key that one holder has left, and another has. */
function newer(entry: StoreEntry, other: StoreEntry | undefined): StoreEntry {
  return other === undefined || entry.revision > other.revision ? entry : other
}
