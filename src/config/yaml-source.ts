// YAML to data, and back to places.
//
// A file without mistakes is read by js-yaml, which is five times as fast (25,000 tenants: 0.2 s against 1.3 s); only when
// something is wrong with it does `yaml` read it again, because that one knows the line of each value. Both follow YAML
// 1.2's core schema. What they might treat differently (anchors, aliases, tags, merge keys, several documents) always goes to
// `yaml`, the reference, which also bounds what aliases can expand to.

import { CORE_SCHEMA, load } from 'js-yaml'
import { isMap, isScalar, LineCounter, parseDocument, type Document, type ParsedNode } from 'yaml'
import type { ConfigProblem } from './config-error.ts'
import type { Path } from './schema-path.ts'

/** An anchor, alias, tag or merge key where a value or a key can stand, or a document marker. */
const unusual = /(?:^|[\s[{,:-])(?:[&*!][^\s"',]|<<\s*:)|^(?:---|\.\.\.|%)/m
const aliasesMax = 100

/** @returns undefined where the file needs the reference parser: it is unusual or wrong */
export function parseFast(text: string): { readonly data: unknown } | undefined {
  if (unusual.test(text)) return undefined
  try {
    return { data: load(text, { schema: CORE_SCHEMA }) }
  } catch {
    // What is wrong, and where, is for the reference parser to tell.
    return undefined
  }
}

export interface Place {
  readonly line: number
  readonly column: number
}

/** A document of the reference parser: its data, its problems and where things stand. */
export class YamlSource {
  readonly #document: Document.Parsed
  readonly #lines = new LineCounter()
  readonly #file: string

  constructor(file: string, text: string) {
    this.#file = file
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: true })
  }

  /** Mistakes of the YAML itself. */
  problems(): ConfigProblem[] {
    return this.#document.errors.map(({ message, pos }) => ({ file: this.#file, ...this.#placeOf(pos[0]), path: '', message }))
  }

  /** @throws {ReferenceError} of `yaml` when aliases expand too far */
  data(): unknown {
    const data: unknown = this.#document.toJS({ maxAliasCount: aliasesMax })
    return data
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
