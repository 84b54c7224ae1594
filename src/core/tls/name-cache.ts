// Server names as text. Those of most hellos have come before, and a text that was made before is whole and hashed: to make one
// and to find its route costs four times what finding it here does.
//
// A name has one place, by its hash, and the last one that came has it: a flood of names that nobody has costs those that
// share a place with one a little time, and no memory.

import { latin1 } from './hello-extensions.ts'

/** Names that are kept. A power of two. */
export const namesMax = 1_024
/** A hostname has no more; what is longer is not kept. */
export const nameBytesMax = 255

export class NameCache {
  readonly #names: string[] = Array.from({ length: namesMax }, () => '')

  /** @returns the same as `latin1` */
  text(bytes: Uint8Array, start: number, end: number): string {
    if (end - start > nameBytesMax) return latin1(bytes, start, end)
    const place = hash(bytes, start, end) % namesMax
    const known = this.#names[place] ?? ''
    if (isSame(known, bytes, start, end)) return known
    const text = latin1(bytes, start, end)
    this.#names[place] = text
    return text
  }
}

/** FNV-1a, 32 bits. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  let value = 0x811c9dc5
  for (let at = start; at < end; at++) value = Math.imul(value ^ (bytes[at] ?? 0), 0x01000193)
  return value >>> 0
}

function isSame(text: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (text.length !== end - start) return false
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) !== bytes[start + index]) return false
  return true
}
