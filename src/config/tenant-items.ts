// Where the entries of `tenants` stand in a file's bytes, and which of them stood in an earlier one.
//
//   listeners: …
//   tenants:
//     - name: acme      an item: from its hyphen's line to the next one's
//       …
//     - name: globex
//       …
//   admin: …            the list ends at the first line that begins with something else than a blank or a comment
//
// It only cuts at lines that look like this, and knows no YAML: pieces.ts finds out whether the parts mean the same alone.
// What is unchanged is compared many items at a time, as bytes, and becomes no text: that is what makes a reload fast.

export interface TenantItems {
  /** UTF-8 throughout. */
  readonly bytes: Buffer<ArrayBuffer>
  /** Of every item's hyphen: spaces. */
  readonly indent: string
  /** Where each item begins, ≥1 of them; and where the last one ends. */
  readonly starts: Int32Array
  /** For each item, which item of the earlier file is the same; `noSource` for what is new. */
  readonly sources: Int32Array
}

export const noSource = -1

const [newline, space, hash, hyphen] = [0x0a, 0x20, 0x23, 0x2d]
const key = 'tenants:'
/** Items that were left out or replaced together, and are looked for here before they are looked for everywhere. */
const itemsSkippedMax = 8
/** Compared at once. */
const itemsComparedMax = 256

export function itemAt({ bytes, starts }: TenantItems, index: number): string {
  return bytes.toString('utf8', starts[index], starts[index + 1])
}

/** Items that stand together, in both files. */
interface Run {
  readonly start: number
  /** The first one's; `noSource`: it is one, and new. */
  readonly source: number
  readonly count: number
}

/** @returns undefined where the file has no such list */
export function splitTenants(bytes: Buffer<ArrayBuffer>, previous?: TenantItems): TenantItems | undefined {
  const first = firstItem(bytes)
  if (first === undefined) return undefined
  const indent = ' '.repeat(afterSpaces(bytes, first) - first)
  const known = previous?.indent === indent ? new KnownItems(previous) : undefined
  const lines = new Lines(bytes, indent)
  const runs: Run[] = []
  let start = first
  while (lines.isItem(start)) {
    const following = known?.following(bytes, start) ?? 0
    // The last one's end is seen from what comes after it, which the earlier file does not tell.
    const count = following > 0 && !lines.isItemEnd(start + (known?.bytesOf(following) ?? 0)) ? following - 1 : following
    const end = known === undefined || count === 0 ? lines.itemEnd(start) : start + known.bytesOf(count)
    const source = known === undefined ? noSource : count > 0 ? known.take(count) : known.find(bytes, start, end)
    runs.push({ start, source, count: Math.max(1, count) })
    start = end
  }
  return { bytes, indent, ...placesOf(runs, start, previous) }
}

function placesOf(runs: readonly Run[], end: number, previous: TenantItems | undefined): Pick<TenantItems, 'starts' | 'sources'> {
  const count = runs.reduce((sum, run) => sum + run.count, 0)
  const [starts, sources] = [new Int32Array(count + 1), new Int32Array(count)]
  let at = 0
  for (const run of runs) {
    const shift = run.start - (previous?.starts[run.source] ?? 0)
    starts[at] = run.start
    sources[at] = run.source
    for (let index = 1; index < run.count; index++) {
      starts[at + index] = (previous?.starts[run.source + index] ?? 0) + shift
      sources[at + index] = run.source + index
    }
    at += run.count
  }
  starts[count] = end
  return { starts, sources }
}

/** The line of the first item, which nothing but blank lines and comments parts from the key. */
function firstItem(bytes: Buffer): number | undefined {
  for (let at = bytes.indexOf(key); at !== -1; at = bytes.indexOf(key, at + 1)) {
    if (at > 0 && bytes[at - 1] !== newline) continue
    let line: number | undefined
    for (let next = blankLineEnd(bytes, at + key.length); next !== undefined; next = blankLineEnd(bytes, next)) line = next
    const item = line === undefined ? 0 : afterSpaces(bytes, line)
    if (line !== undefined && bytes[item] === hyphen && bytes[item + 1] === space) return line
  }
  return undefined
}

/** @returns where the next line begins; undefined where the rest of this one has more than blanks and a comment */
function blankLineEnd(bytes: Buffer, at: number): number | undefined {
  const rest = afterSpaces(bytes, at)
  const end = bytes[rest] === hash ? bytes.indexOf(newline, rest) : rest
  return bytes[end] === newline ? end + 1 : undefined
}

function afterSpaces(bytes: Buffer, at: number): number {
  let end = at
  while (bytes[end] === space) end += 1
  return end
}

/** What a line's beginning tells. */
class Lines {
  readonly #bytes: Buffer
  readonly #indentBytes: number
  readonly #nextItem: Buffer

  constructor(bytes: Buffer, indent: string) {
    this.#bytes = bytes
    this.#indentBytes = indent.length
    this.#nextItem = Buffer.from(`\n${indent}- `)
  }

  isItem(start: number): boolean {
    const at = start + this.#indentBytes
    return this.#bytes[at] === hyphen && this.#bytes[at + 1] === space && afterSpaces(this.#bytes, start) === at
  }

  /** Whether an item that has no other one's start and no end inside ends here. */
  isItemEnd(end: number): boolean {
    if (end === this.#bytes.length) return true
    return this.#bytes[end - 1] === newline && (this.isItem(end) || !this.#isInside(end))
  }

  itemEnd(start: number): number {
    const next = this.#bytes.indexOf(this.#nextItem, start)
    const end = next === -1 ? this.#bytes.length : next + 1
    for (let at = start + 1; at < end; at++) {
      if (this.#bytes[at - 1] === newline && !this.#isInside(at)) return at
    }
    return end
  }

  /** Of what a line of the list may begin with, beside an item's hyphen. */
  #isInside(line: number): boolean {
    const first = this.#bytes[line]
    return first === space || first === hash || first === newline || (first === hyphen && this.#indentBytes === 0)
  }
}

/** The items of the earlier file; what was behind the one that was found last is expected next. */
class KnownItems {
  readonly #items: TenantItems
  readonly #count: number
  #cursor = 0
  #misses = 0
  #indices: Map<string, number> | undefined

  constructor(items: TenantItems) {
    this.#items = items
    this.#count = items.starts.length - 1
  }

  /** How many of those that are expected stand here, one after the other. */
  following(bytes: Buffer, start: number): number {
    let found = 0
    let isDifferent = false
    // Twice as many as long as they are the same, then half as many.
    for (let step = 1; step >= 1; step = isDifferent ? step >>> 1 : Math.min(itemsComparedMax, 2 * step)) {
      const count = Math.min(found + step, this.#count - this.#cursor)
      if (count === found) break
      if (this.#stands(this.#cursor + found, this.#cursor + count, bytes, start + this.bytesOf(found))) found = count
      else isDifferent = true
    }
    return found
  }

  /** Of so many that are expected. */
  bytesOf(count: number): number {
    return this.#start(this.#cursor + count) - this.#start(this.#cursor)
  }

  /** Those that are expected stand there. @returns the first one */
  take(count: number): number {
    this.#misses = 0
    this.#cursor += count
    return this.#cursor - count
  }

  find(bytes: Buffer, start: number, end: number): number {
    const index = this.#indexOf(bytes, start, end)
    if (index === noSource) this.#misses += 1
    else {
      this.#misses = 0
      this.#cursor = index + 1
    }
    return index
  }

  #indexOf(bytes: Buffer, start: number, end: number): number {
    // It stands for the one that is expected, most often: then the one behind that stands behind it.
    const behind = this.#cursor + 1
    if (behind < this.#count && this.#stands(behind, behind + 1, bytes, end)) {
      this.#cursor = behind
      return noSource
    }
    for (let index = this.#cursor; index < Math.min(this.#count, this.#cursor + itemsSkippedMax); index++) {
      if (this.#start(index + 1) - this.#start(index) === end - start && this.#stands(index, index + 1, bytes, start)) return index
    }
    if (this.#misses < itemsSkippedMax) return noSource
    this.#indices ??= new Map(Array.from({ length: this.#count }, (_, index) => [itemAt(this.#items, index), index]))
    return this.#indices.get(bytes.toString('utf8', start, end)) ?? noSource
  }

  #stands(first: number, end: number, bytes: Buffer, start: number): boolean {
    const [from, to] = [this.#start(first), this.#start(end)]
    return start + to - from <= bytes.length && bytes.compare(this.#items.bytes, from, to, start, start + to - from) === 0
  }

  #start(index: number): number {
    return this.#items.starts[index] ?? 0
  }
}
