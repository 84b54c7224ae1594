import { mixBits, stableHash } from '../stable-hash.ts'

/** Of one address. */
const groups = new Uint16Array(8)
const colon = 58

/**
 * A client as `sh` and `mh` know it again: an IPv4 address, or the /64 of an IPv6 address, since who has one has all of its
 * addresses, and takes others every day (RFC 8981). The same in every process.
 * @param address in its canonical text
 * @returns a whole number, 0 to 2³²−1
 */
export function sourceKey(address: string): number {
  if (!address.includes(':')) return stableHash(address)
  const gap = readGroups(address)
  let hash = 0x811c9dc5
  for (let index = 0; index < 4; index++) {
    const group = gap.at === -1 || index < gap.at ? groups[index] : index < gap.at + gap.length ? 0 : groups[index - gap.length]
    hash = Math.imul(hash ^ (group ?? 0), 0x01000193)
  }
  return mixBits(hash)
}

const gapFound = { at: -1, length: 0 }

/** Into `groups`, those that are written. @returns where `::` stands, and for how many */
function readGroups(address: string): { readonly at: number; readonly length: number } {
  let written = 0
  let group = 0
  let isOpen = false
  gapFound.at = -1
  for (let index = 0; index < address.length; index++) {
    const code = address.charCodeAt(index)
    if (code !== colon) {
      group = group * 16 + digitOf(code)
      isOpen = true
    } else if (isOpen) {
      groups[written++] = group
      group = 0
      isOpen = false
    } else if (index > 0) gapFound.at = written
  }
  if (isOpen) groups[written++] = group
  gapFound.length = 8 - written
  return gapFound
}

/** Of a lower-case hexadecimal digit. */
function digitOf(code: number): number {
  return code <= 57 ? code - 48 : code - 87
}
