// YAML to data, and back to places.
//
// js-yaml reads, as it is five times as fast (25,000 tenants: 0.2 s against 1.3 s). `yaml` knows the line of each value: it
// reads a file again when something is wrong with it, and instead where js-yaml refuses it (broken YAML, unknown tags,
// several documents, repeated keys) or is known to differ. Both follow YAML 1.2's core schema: no merge keys, no `yes`, no
// 012 for 10, no dates. A test edits files at random and finds the same data from both.

import { CORE_SCHEMA, load } from 'js-yaml'
import { isMap, isScalar, LineCounter, parseDocument, visit, type Alias, type Document, type ParsedNode } from 'yaml'
import { expansionFault } from './alias-expansion.ts'
import type { ConfigProblem } from './config-error.ts'
import type { Path } from './schema-path.ts'

/** A directive, the end of a document, or a CR alone, which only js-yaml takes as a line break. */
const unusual = /^(?:%|\.\.\.)|\r(?!\n)/m
/** `a: &x b: 1`, or with a tag: a mapping on the line of its key is wrong, and js-yaml reads it. Not so for `a: &x { b: 1 }`. */
const nested = /: +(?:[&!]\S*[ \t]+)+(?![ \t[{&!])[^\n]*:(?:\s|$)/
/** Of a document: each tenant may use some. */
const aliasesMax = 1_000_000
/** Finding what they name takes `yaml` time that grows with their square: 65 s for 100,000. */
const referenceAliasesMax = 1_000

/** @returns undefined where `yaml` must read the file: it is unusual or wrong */
export function parseFast(text: string): { readonly data: unknown } | undefined {
  if (unusual.test(text) || nested.test(text)) return undefined
  try {
    const data: unknown = load(text, { schema: CORE_SCHEMA, maxAliases: aliasesMax })
    return expansionFault(data) === undefined ? { data } : undefined
  } catch {
    // What is wrong, and where, is for `yaml` to tell.
    return undefined
  }
}

export interface Place {
  readonly line: number
  readonly column: number
}

/** A document as `yaml` reads it: its data, its problems and where things stand. */
export class YamlSource {
  readonly #document: Document.Parsed
  readonly #lines = new LineCounter()
  readonly #file: string

  constructor(file: string, text: string) {
    this.#file = file
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: true })
  }

  /** Mistakes of the YAML itself. Warnings are too: they tell of a tag or a directive that would be ignored. */
  problems(): ConfigProblem[] {
    const { errors, warnings } = this.#document
    return [...errors, ...warnings].map(({ message, pos }) => this.#problemAt(pos[0], message))
  }

  #problemAt(offset: number, message: string): ConfigProblem {
    return { file: this.#file, ...this.#placeOf(offset), path: '', message }
  }

  /** To be asked when there are no `problems`. */
  data(): { readonly kind: 'data'; readonly data: unknown } | { readonly kind: 'problem'; readonly problem: ConfigProblem } {
    const aliases = this.#aliases()
    const [first] = aliases
    const refused = (message: string): { kind: 'problem'; problem: ConfigProblem } => ({ kind: 'problem', problem: this.#problemAt(first?.range?.[0] ?? 0, message) })
    if (aliases.length > referenceAliasesMax) return refused(`${aliases.length} aliases; at most ${referenceAliasesMax} are read here`)
    try {
      const data: unknown = this.#document.toJS({ maxAliasCount: -1 })
      const fault = expansionFault(data)
      return fault === undefined ? { kind: 'data', data } : refused(fault)
    } catch (error) {
      // An alias of what is nowhere.
      if (!(error instanceof ReferenceError)) throw error
      return refused(error.message)
    }
  }

  #aliases(): Alias[] {
    const aliases: Alias[] = []
    visit(this.#document, { Alias: (_, alias) => void aliases.push(alias) })
    return aliases
  }

  /**
   * Where the value at this path begins, or the nearest thing around it that there is.
   * @param key the place of the path's last key rather than of its value
   */
  place(path: Path, { key }: { readonly key: boolean }): Place {
    if (key) {
      const at = this.#keyOffset(path)
      if (at !== undefined) return this.#placeOf(at)
    }
    for (let length = path.length; length > 0; length--) {
      const node = this.#nodeAt(path.slice(0, length))
      if (node?.range) return this.#placeOf(node.range[0])
    }
    return this.#placeOf(this.#document.contents?.range[0] ?? 0)
  }

  #nodeAt(path: Path): ParsedNode | undefined {
    return this.#document.getIn(path, true) as ParsedNode | undefined
  }

  #keyOffset(path: Path): number | undefined {
    const parent = path.length === 1 ? this.#document.contents : this.#nodeAt(path.slice(0, -1))
    if (!isMap(parent)) return undefined
    const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === path.at(-1))
    return isScalar(pair?.key) ? pair.key.range?.[0] : undefined
  }

  #placeOf(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
}
