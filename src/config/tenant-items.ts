// Where the entries of `tenants` stand in a file's text, and which of them stood in an earlier one.
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

export interface TenantItems {
  readonly text: string
  /** Of every item's hyphen: spaces. */
  readonly indent: string
  /** Where each item begins, ≥1 of them; and where the last one ends. */
  readonly starts: readonly number[]
  /** For each item, which item of the earlier text is the same; `noSource` for what is new. */
  readonly sources: readonly number[]
}

export const noSource = -1

const opening = /(?:^|\n)tenants: *(?:#[^\n]*)?\n(?: *(?:#[^\n]*)?\n)*(?= *- )/
/** Items that were left out or replaced together, and are looked for here before they are looked for everywhere. */
const itemsSkippedMax = 8

export function itemAt({ text, starts }: TenantItems, index: number): string {
  return text.slice(starts[index], starts[index + 1])
}

/** @returns undefined where the text has no such list */
export function splitTenants(text: string, previous?: TenantItems): TenantItems | undefined {
  const opened = opening.exec(text)
  if (opened === null) return undefined
  const first = opened.index + opened[0].length
  const indent = text.slice(first, text.indexOf('-', first))
  const known = previous?.indent === indent ? new KnownItems(previous) : undefined
  const lines = new Lines(text, indent)
  const starts: number[] = [first]
  const sources: number[] = []
  for (let start = first; lines.isItem(start);) {
    const next = known?.following()
    // Ten times as fast as startsWith.
    const isNext = next !== undefined && text.slice(start, start + next.length) === next && lines.isItemEnd(start + next.length)
    const end = isNext ? start + next.length : lines.itemEnd(start)
    sources.push(known === undefined ? noSource : isNext ? known.take() : known.find(text.slice(start, end)))
    starts.push(end)
    start = end
  }
  return { text, indent, starts, sources }
}

/** What a line's beginning tells. */
class Lines {
  readonly #text: string
  readonly #hyphen: string
  /** What a line of the list may begin with, beside an item's hyphen. */
  readonly #inside: string
  readonly #ending: RegExp

  constructor(text: string, indent: string) {
    this.#text = text
    this.#hyphen = `${indent}- `
    this.#inside = indent === '' ? ' #\n-' : ' #\n'
    this.#ending = indent === '' ? /\n(?=[^ #\n-])/ : /\n(?=[^ #\n])/
  }

  isItem(start: number): boolean {
    return this.#text.startsWith(this.#hyphen, start)
  }

  /** Whether an item that has no other one's start and no end inside ends here. */
  isItemEnd(end: number): boolean {
    if (end === this.#text.length) return true
    return this.#text[end - 1] === '\n' && (this.isItem(end) || !this.#inside.includes(this.#text.charAt(end)))
  }

  itemEnd(start: number): number {
    const next = this.#text.indexOf(`\n${this.#hyphen}`, start)
    const end = next === -1 ? this.#text.length : next + 1
    const ending = this.#text.slice(start, end).search(this.#ending)
    return ending === -1 ? end : start + ending + 1
  }
}

/** The items of the earlier text; what was behind the one that was found last is expected next. */
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

  following(): string | undefined {
    return this.#cursor < this.#count ? itemAt(this.#items, this.#cursor) : undefined
  }

  /** The one that follows is the same. */
  take(): number {
    this.#misses = 0
    return this.#cursor++
  }

  find(item: string): number {
    const index = this.#indexOf(item)
    if (index === noSource) this.#misses += 1
    else {
      this.#misses = 0
      this.#cursor = index + 1
    }
    return index
  }

  #indexOf(item: string): number {
    for (let index = this.#cursor; index < Math.min(this.#count, this.#cursor + itemsSkippedMax); index++) {
      if (itemAt(this.#items, index) === item) return index
    }
    if (this.#misses < itemsSkippedMax) return noSource
    this.#indices ??= new Map(Array.from({ length: this.#count }, (_, index) => [itemAt(this.#items, index), index]))
    return this.#indices.get(item) ?? noSource
  }
}
