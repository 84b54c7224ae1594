// The store that needs nothing beside it: a directory, which several processes of one machine may read and write.
//
//   DIR/version                          of this layout
//   DIR/entries/tokens/4f2a@/00000004    versions of one value (version-folder.ts)
//   DIR/changes                          keys that have changed (change-feed.ts)
//   DIR/drafts/                          files that are not whole yet
//
// There is no lock, so there is none that a process could die with: link(2) decides between writers. What a crash leaves at
// any moment is a draft that nobody asks for, or a whole version.

import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { checkKey, storeLimits, StoreMisuseError, StoreUnavailableError, type Store, type StoreEntry } from '../store.ts'
import { ChangeFeed } from './change-feed.ts'
import { orMissing, readVersion, retireOlder, writeVersion } from './version-folder.ts'

const layoutVersion = '1\n'
/** Of drafts whose writer has died. */
const leftoverAgeMs = 60 * 60 * 1_000
/** Behind a key's name: a key and a folder of keys can't be confused. */
const keyMark = '@'

export class FileStore implements Store {
  readonly #directory: string
  readonly #feed: ChangeFeed

  private constructor(directory: string) {
    this.#directory = directory
    this.#feed = new ChangeFeed(join(directory, 'changes'))
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
      for (const name of ['entries', 'drafts']) await mkdir(join(directory, name), { recursive: true, mode: 0o700 })
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
    const { number, value } = await readVersion(this.#folderOf(key))
    return value === undefined ? undefined : { key, value, revision: number }
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    checkKey(prefix)
    const entries: StoreEntry[] = []
    for (const key of (await keysBelow(join(this.#directory, 'entries', prefix), prefix)).toSorted()) {
      const entry = await this.get(key)
      if (entry !== undefined) entries.push(entry)
    }
    return entries
  }

  async put(key: string, value: string, ifRevision: number): Promise<StoreEntry | undefined> {
    if (Buffer.byteLength(value) > storeLimits.valueBytesMax) throw new StoreMisuseError(`${key}: a value of over ${storeLimits.valueBytesMax} bytes`)
    const revision = await this.#write(key, value, ifRevision)
    return revision === undefined ? undefined : { key, value, revision }
  }

  async remove(key: string, ifRevision: number): Promise<boolean> {
    return await this.#write(key, undefined, ifRevision) !== undefined
  }

  async watch(prefix: string, changed: (key: string) => void): Promise<{ close(): void }> {
    checkKey(prefix)
    return await this.#feed.watch((key) => {
      if (key.startsWith(`${prefix}/`)) changed(key)
    })
  }

  close(): void {
    this.#feed.close()
  }

  async #write(key: string, value: string | undefined, ifRevision: number): Promise<number | undefined> {
    checkKey(key)
    const folder = this.#folderOf(key)
    const drafts = join(this.#directory, 'drafts')
    const current = await readVersion(folder)
    if ((current.value === undefined ? 0 : current.number) !== ifRevision) return undefined
    const number = current.number + 1
    if (!await writeVersion({ root: this.#directory, drafts, folder, number, value })) return undefined
    await this.#feed.append(key)
    await retireOlder({ drafts, folder, number })
    return number
  }

  #folderOf(key: string): string {
    return join(this.#directory, 'entries', `${key}${keyMark}`)
  }
}

async function keysBelow(folder: string, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for (const name of await orMissing(readdir(folder)) ?? []) {
    if (name.endsWith(keyMark)) keys.push(`${prefix}/${name.slice(0, -keyMark.length)}`)
    else keys.push(...await keysBelow(join(folder, name), `${prefix}/${name}`))
  }
  return keys
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
    if (found !== undefined && Date.now() - found.mtimeMs > leftoverAgeMs) await rm(path, { force: true })
  }
}
