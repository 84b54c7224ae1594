// The store that needs nothing beside it: a directory, which several processes of one machine may read and write.
//
//   DIR/version                          of this layout
//   DIR/entries/tokens/4f2a@/00000004    versions of one value (version-folder.ts)
//   DIR/leases/                          values that go with their holder (lease-folders.ts)
//   DIR/changes                          keys that have changed (change-feed.ts)
//   DIR/drafts/                          files that are not whole yet
//
// There is no lock, so there is none that a process could die with: link(2) decides between writers. What a crash leaves at
// any moment is a draft that nobody asks for, or a whole version.

import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { checkKey, checkValue, StoreUnavailableError, type Lease, type LeaseOptions, type Store, type StoreEntry, type Watch, type Watcher } from '../store.ts'
import { ChangeFeed } from './change-feed.ts'
import { FileWatch } from './file-watch.ts'
import { keyMark, keysBelow } from './key-path.ts'
import { LeaseFolders } from './lease-folders.ts'
import { highestNumber, orMissing, readVersion, retireOlder, writeVersion, type Version } from './version-folder.ts'

const layoutVersion = '1\n'
/** Of drafts whose writer has died. */
const leftoverAgeMs = 60 * 60 * 1_000
/** While anybody watches, leases are looked at so often. */
const reapIntervalMs = 250
/** Read at once in a list. */
const readsMax = 32
/** Of a snapshot: until nothing has changed between two. */
const collectionsMax = 20
const collectionPauseMs = 50

export class FileStore implements Store {
  readonly #directory: string
  readonly #feed: ChangeFeed
  readonly #leases: LeaseFolders
  readonly #watches = new Set<FileWatch>()
  /** Of watches that are closed, those that still read. */
  readonly #ending = new Set<Promise<void>>()
  #reaper: NodeJS.Timeout | undefined
  #reaping: Promise<void> | undefined

  private constructor(directory: string) {
    this.#directory = directory
    this.#feed = new ChangeFeed(join(directory, 'changes'))
    this.#leases = new LeaseFolders({ directory, changed: async (keys) => await this.#feed.append(keys) })
  }

  /**
   * Makes the directory where there is none.
   * @throws {StoreUnavailableError}
   */
  static async open(directory: string): Promise<FileStore> {
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      const { mode, uid } = await stat(directory)
      if (uid !== process.geteuid?.()) throw new StoreUnavailableError(`${directory} belongs to user ${uid}, who could not read what user ${process.geteuid?.()} writes there; expected to run as user ${uid}`)
      if ((mode & 0o022) !== 0) throw new StoreUnavailableError(`${directory} may be written by others (mode ${(mode & 0o777).toString(8)}), who could let nodes in; expected mode 700`)
      for (const name of ['entries', 'leases', 'drafts']) await mkdir(join(directory, name), { recursive: true, mode: 0o700 })
      await checkLayout(join(directory, 'version'))
      await removeLeftovers(join(directory, 'drafts'))
    } catch (error) {
      if (error instanceof StoreUnavailableError) throw error
      throw new StoreUnavailableError(`${directory} can't hold state: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
    return new FileStore(directory)
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    checkKey(key)
    return await this.#read(key) ?? await this.#leases.get(key)
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    checkKey(prefix)
    const found = new Map((await this.#leases.list(prefix)).map((entry) => [entry.key, entry]))
    const keys = await keysBelow(join(this.#directory, 'entries', prefix), prefix)
    for (const entry of await inBatches(keys, async (key) => await this.#read(key))) {
      if (entry !== undefined) found.set(entry.key, entry)
    }
    return [...found.values()].toSorted((a, b) => a.key < b.key ? -1 : 1)
  }

  async put(key: string, value: string, ifRevision: number): Promise<StoreEntry | undefined> {
    checkValue(key, value)
    const revision = await this.#write(key, value, ifRevision)
    return revision === undefined ? undefined : { key, value, revision }
  }

  async remove(key: string, ifRevision: number): Promise<boolean> {
    return await this.#write(key, undefined, ifRevision) !== undefined
  }

  async snapshot(): Promise<readonly StoreEntry[]> {
    let before = await this.#collect(new Map())
    for (let collections = 1; collections < collectionsMax; collections++) {
      const after = await this.#collect(before)
      // Every version was the highest before this moment and after it, numbers of removals too; so at it all of them were.
      if (after.size === before.size && [...after].every(([key, { number }]) => before.get(key)?.number === number)) {
        return [...after].flatMap(([key, { number, value }]) => value === undefined ? [] : [{ key, value, revision: number }])
      }
      before = after
      await delay(collections * collectionPauseMs)
    }
    throw new StoreUnavailableError(`${this.#directory} changes while it is read, ${collectionsMax} times over; expected a moment without changes: try again when fewer nodes enrol`)
  }

  async lease(options: LeaseOptions): Promise<Lease> {
    return await this.#leases.take(options)
  }

  async watch(prefix: string, watcher: Watcher): Promise<Watch> {
    checkKey(prefix)
    const watch = new FileWatch({
      source: this, prefix, watcher,
      readFeed: async () => await this.#feed.readNow(),
      closed: () => {
        listening.close()
        this.#watches.delete(watch)
        const ended = watch.ended().finally(() => this.#ending.delete(ended))
        this.#ending.add(ended)
        if (this.#watches.size === 0) this.#stopReaping()
      },
    })
    const listening = await this.#feed.listen(watch)
    this.#watches.add(watch)
    this.#reap()
    try {
      await watch.begin()
    } catch (error) {
      watch.close()
      throw error
    }
    return watch
  }

  /** Once it resolves, nothing that it does by itself is under way. */
  async close(): Promise<void> {
    for (const watch of this.#watches) watch.close()
    this.#feed.close()
    await this.#leases.close()
    await this.#reaping
    await Promise.all(this.#ending)
  }

  #reap(): void {
    if (this.#reaper !== undefined) return
    this.#reaper = setTimeout(() => {
      // What can't be read now is found by the next, and told to watchers by the feed.
      this.#reaping = this.#leases.reap().catch(() => undefined).finally(() => {
        if (this.#reaper === undefined) return
        this.#reaper = undefined
        this.#reap()
      })
    }, reapIntervalMs)
    this.#reaper.unref()
  }

  #stopReaping(): void {
    clearTimeout(this.#reaper)
    this.#reaper = undefined
  }

  async #read(key: string): Promise<StoreEntry | undefined> {
    const { number, value } = await readVersion(this.#folderOf(key))
    return value === undefined ? undefined : { key, value, revision: number }
  }

  async #write(key: string, value: string | undefined, ifRevision: number): Promise<number | undefined> {
    checkKey(key)
    const folder = this.#folderOf(key)
    const drafts = join(this.#directory, 'drafts')
    const current = await readVersion(folder)
    const number = current.number + 1
    const isFirst = (current.value === undefined ? 0 : current.number) === ifRevision && await writeVersion({ root: this.#directory, drafts, folder, number, value })
    // Of another's too: a writer may have died before it told of what it wrote.
    await this.#feed.append([key])
    if (!isFirst) return undefined
    await retireOlder({ drafts, folder, number })
    return number
  }

  /** The highest versions of all keys, removals too. @param known read before: what has its number still is not read again */
  async #collect(known: ReadonlyMap<string, Version>): Promise<ReadonlyMap<string, Version>> {
    const keys = (await keysBelow(join(this.#directory, 'entries'), '')).toSorted()
    return new Map(await inBatches(keys, async (key) => {
      const [folder, before] = [this.#folderOf(key), known.get(key)]
      return [key, before !== undefined && before.number === await highestNumber(folder) ? before : await readVersion(folder)] as const
    }))
  }

  #folderOf(key: string): string {
    return join(this.#directory, 'entries', `${key}${keyMark}`)
  }
}

async function inBatches<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  for (let at = 0; at < items.length; at += readsMax) results.push(...await Promise.all(items.slice(at, at + readsMax).map(work)))
  return results
}

async function checkLayout(file: string): Promise<void> {
  const found = await orMissing(readFile(file, 'utf8'))
  if (found === layoutVersion) return
  if (found !== undefined && found !== '') throw new StoreUnavailableError(`${file} says ${JSON.stringify(found.trim().slice(0, 20))}: a layout of another version of Sluice; expected ${layoutVersion.trim()}`)
  const handle = await open(file, 'w', 0o600)
  try {
    await handle.writeFile(layoutVersion)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function removeLeftovers(drafts: string): Promise<void> {
  for (const name of await readdir(drafts)) {
    const path = join(drafts, name)
    const found = await orMissing(stat(path))
    if (found !== undefined && Date.now() - found.mtimeMs > leftoverAgeMs) await rm(path, { recursive: true, force: true })
  }
}
