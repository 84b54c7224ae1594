// All that a store holds, as a file: JSON, one object a line.
//
//   {"sluice":"state","format":1,"counts":{"nodes":2,"tokens":1}}
//   {"key":"nodes/acme/4f…","value":"{\\"tenant\\":\\"acme\\", …"}          in the order of the keys
//   {"end":3,"sha256":"…"}                                                 of every line before, their ends included
//
// A file that was cut or changed is told by its last line. Revisions are not in it: they are the store's own.

import { createHash, type Hash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { checkKey, checkValue, type Store, type StoreEntry } from './store.ts'

const format = 1
const entriesMax = 1_000_000
/** Written at once by an import. */
const putsMax = 32
/** There from the begin of an import to its end; its value names the file. */
const importKey = 'imports/unfinished'

/** What stands in the way of an import; the message says where in the file, or what in the store. */
export class StateFileError extends Error {
  readonly code = 'STATE_FILE'
}

/** By their first segments: `{ nodes: 2, tokens: 1 }`. */
export type Counts = Readonly<Record<string, number>>

type Kept = Pick<StoreEntry, 'key' | 'value'>

export interface StateFile {
  readonly entries: readonly Kept[]
  readonly counts: Counts
  /** Of its lines before the last. */
  readonly sha256: string
}

/** With their ends. */
export function* stateLines(entries: readonly Kept[]): Generator<string> {
  const hash = createHash('sha256')
  const line = (content: object): string => {
    const text = `${JSON.stringify(content)}\n`
    hash.update(text)
    return text
  }
  yield line({ sluice: 'state', format, counts: countsOf(entries) })
  for (const { key, value } of entries) yield line({ key, value })
  yield `${JSON.stringify({ end: entries.length, sha256: hash.digest('hex') })}\n`
}

/** @throws {StateFileError} */
export async function readStateFile(input: NodeJS.ReadableStream): Promise<StateFile> {
  const hash = createHash('sha256')
  const entries: Kept[] = []
  let number = 0
  let header: Counts | undefined
  let sha256: string | undefined
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    number += 1
    const wrong = (what: string): StateFileError => new StateFileError(`line ${number}: ${what}`)
    if (sha256 !== undefined) throw wrong('there is more behind the last line; expected one export, whole and alone')
    const content = parsed(line)
    if (header === undefined) header = headerIn(content, wrong)
    else if ('end' in content) {
      sha256 = checkedEnd(content, { entries, hash, wrong })
      continue
    } else entries.push(entryIn(content, entries.at(-1)?.key, wrong))
    if (entries.length > entriesMax) throw wrong(`more than ${entriesMax} entries`)
    hash.update(`${line}\n`)
  }
  if (header === undefined || sha256 === undefined) throw new StateFileError(`it was cut: it ends after line ${number}, without the line that ends an export; expected the whole of what sluice state export wrote`)
  if (JSON.stringify(countsOf(entries)) !== JSON.stringify(header)) throw new StateFileError(`line 1: the counts ${JSON.stringify(header)} are not those of the entries, ${JSON.stringify(countsOf(entries))}`)
  return { entries, counts: header, sha256 }
}

/**
 * Into a store that is empty, or that has a part of the same file from an import that was interrupted.
 * @throws {StateFileError} where it has anything else, before it is changed
 */
export async function importState(store: Store, { entries, sha256 }: StateFile): Promise<void> {
  const [mark, there] = [await store.get(importKey), (await store.snapshot()).filter(({ key }) => key !== importKey)]
  if (mark !== undefined && mark.value !== sha256) throw new StateFileError(`an import of another file was interrupted (sha256 ${mark.value}); expected that file, or an empty store`)
  const wanted = new Map(entries.map(({ key, value }) => [key, value]))
  const others = mark === undefined ? there : there.filter(({ key, value }) => wanted.get(key) !== value)
  if (others.length > 0) throw new StateFileError(`the store is not empty: it has ${describeCounts(countsOf(others))}, ${others[0]?.key ?? ''} for one; expected an empty directory or prefix`)
  const marked = mark ?? await store.put(importKey, sha256, 0)
  if (marked === undefined) throw new StateFileError('another import has just begun')
  const isThere = new Set(there.map(({ key }) => key))
  const missing = entries.filter(({ key }) => !isThere.has(key))
  for (let at = 0; at < missing.length; at += putsMax) {
    await Promise.all(missing.slice(at, at + putsMax).map(async ({ key, value }) => {
      if (await store.put(key, value, 0) === undefined) throw new StateFileError(`somebody else writes into the store: ${key} is there now; expected nobody to use it before the import is done`)
    }))
  }
  await store.remove(importKey, marked.revision)
}

export async function hasUnfinishedImport(store: Store): Promise<boolean> {
  return await store.get(importKey) !== undefined
}

/** `2 nodes, 1 tokens` */
export function describeCounts(counts: Counts): string {
  const parts = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`)
  return parts.length === 0 ? 'nothing' : parts.join(', ')
}

export function countsOf(entries: readonly Kept[]): Counts {
  const counts: Record<string, number> = {}
  for (const { key } of entries) {
    const kind = key.slice(0, key.indexOf('/') === -1 ? undefined : key.indexOf('/'))
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  return counts
}

type Complaint = (what: string) => StateFileError

/** An empty object for what is none. */
function parsed(line: string): Readonly<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(line)
    return typeof content === 'object' && content !== null ? { ...content } : {}
  } catch {
    return {}
  }
}

function headerIn({ sluice, format: found, counts }: Readonly<Record<string, unknown>>, wrong: Complaint): Counts {
  if (sluice !== 'state') throw wrong('this is no export of a state; expected what sluice state export wrote')
  if (found !== format) throw wrong(`format ${JSON.stringify(found)} is of another version of Sluice; expected ${format}`)
  if (typeof counts !== 'object' || counts === null || !Object.values(counts).every((count) => typeof count === 'number')) throw wrong('no counts; expected what sluice state export wrote')
  return { ...counts }
}

function entryIn({ key, value }: Readonly<Record<string, unknown>>, before: string | undefined, wrong: Complaint): Kept {
  if (typeof key !== 'string' || typeof value !== 'string') throw wrong('expected {"key":…,"value":…}, or the line that ends an export')
  try {
    checkKey(key)
    checkValue(key, value)
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error))
  }
  if (before !== undefined && key <= before) throw wrong(`${key} does not come after ${before}; expected the keys in order, each once`)
  return { key, value }
}

function checkedEnd({ end, sha256 }: Readonly<Record<string, unknown>>, { entries, hash, wrong }: { readonly entries: readonly Kept[]; readonly hash: Hash; readonly wrong: Complaint }): string {
  if (end !== entries.length) throw wrong(`${JSON.stringify(end)} entries were exported, and ${entries.length} are here`)
  const found = hash.digest('hex')
  if (sha256 !== found) throw wrong(`the lines before have the SHA-256 ${found}, and had ${JSON.stringify(sha256)}: the file was changed`)
  return found
}
