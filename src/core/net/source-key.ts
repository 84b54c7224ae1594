// Where a connection comes from, as limits count it and schedulers know it again: an IPv4 address, or the /64 of an IPv6 one, since
// whoever has one address of a /64 has them all (RFC 4291 §2.5.4, RFC 6177), and takes others every day (RFC 8981).
//
//   SourceKey    exact: no two sources share one
//   sourceHash   32 bits of its text, the same in every process

import { mixBits, stableHash } from '../stable-hash.ts'
import { isMappedAt, parseIpAddress } from './ip-address.ts'

/** Three numbers in an object that is used again: an accept allocates nothing for it. */
export class SourceKey {
  isIpv6 = false
  high = 0
  low = 0

  /**
   * @param bytes an address in 16 bytes, an IPv4 one as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2)
   * @param at of its first byte
   */
  setBytes(bytes: Uint8Array, at = 0): this {
    this.isIpv6 = !isMappedAt(bytes, at)
    this.high = this.isIpv6 ? wordAt(bytes, at) : 0
    this.low = wordAt(bytes, this.isIpv6 ? at + 4 : at + 12)
    return this
  }

  /** @param address an IP literal; all that is none is one source */
  setText(address: string): this {
    const { family, bytes } = parseIpAddress(address) ?? { family: 6, bytes: unspecified }
    this.isIpv6 = family === 6
    this.high = this.isIpv6 ? wordAt(bytes, 0) : 0
    this.low = wordAt(bytes, this.isIpv6 ? 4 : 0)
    return this
  }
}

const unspecified = new Uint8Array(16)

function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
}

/** Of one address. */
const groups = new Uint16Array(8)
const colon = 58

/**
 * By it `sh` and `mh` give a client the same endpoint again.
 * @param address in its canonical text
 * @returns a whole number, 0 to 2³²−1
 */
export function sourceHash(address: string): number {
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
