// Where a connection comes from, as limits count it: an IPv4 address, or the /64 of an IPv6 one, since whoever has one address of a
// /64 has them all (RFC 4291 §2.5.4, RFC 6177). Three numbers in an object that is used again: an accept allocates nothing for it.

import { parseIpAddress } from '../net/ip-address.ts'

export class SourceKey {
  isIpv6 = false
  high = 0
  low = 0

  /**
   * @param bytes an address in 16 bytes, an IPv4 one as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2)
   * @param at of its first byte
   */
  setBytes(bytes: Uint8Array, at = 0): this {
    this.isIpv6 = !isMapped(bytes, at)
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

function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < 10; index++) if (bytes[at + index] !== 0) return false
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff
}

function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
}
