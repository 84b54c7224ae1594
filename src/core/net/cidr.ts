// Networks in CIDR notation (RFC 4632, RFC 4291 §2.3), and sets of them.
//
// Of a set's networks those that are in no other one are kept, as ranges of addresses.

import { AddressRanges, type AddressRange } from './address-ranges.ts'
import { formatIpAddress, parseIpAddress, type IpAddress } from './ip-address.ts'

export interface Cidr {
  readonly network: IpAddress
  /** 0–32 or 0–128 */
  readonly prefixBits: number
}

export type ParsedCidr =
  | { readonly kind: 'cidr'; readonly cidr: Cidr }
  | { readonly kind: 'invalid'; readonly detail: string }

/** `192.0.2.0/24`, `2001:db8::/32`; a bare address is a network of one. Host bits must be zero. */
export function parseCidr(text: string): ParsedCidr {
  const slash = text.indexOf('/')
  const addressText = slash === -1 ? text : text.slice(0, slash)
  const address = parseIpAddress(addressText)
  if (address === undefined) return invalid(`${JSON.stringify(addressText)} is no IP address`)
  // An IPv4-mapped network's prefix counts from the IPv6 address's start.
  const mapped = address.family === 4 && addressText.includes(':')
  const addressBits = address.family === 4 ? 32 : 128
  const prefixText = slash === -1 ? undefined : text.slice(slash + 1)
  if (prefixText !== undefined && !/^(0|[1-9]\d{0,2})$/.test(prefixText)) return invalid(`${JSON.stringify(prefixText)} is no prefix length`)
  const prefixBits = prefixText === undefined ? addressBits : Number(prefixText) - (mapped ? 96 : 0)
  if (prefixBits < 0) return invalid(`a prefix of ${prefixText} bits; one of IPv4-mapped addresses has at least 96`)
  if (prefixBits > addressBits) return invalid(`a prefix of ${prefixText} bits; an address has ${mapped ? 128 : addressBits}`)
  const network: IpAddress = { family: address.family, bytes: masked(address.bytes, prefixBits) }
  if (!address.bytes.every((byte, index) => byte === network.bytes[index])) {
    return invalid(`bits behind the prefix are set; the network is ${formatCidr({ network, prefixBits })}`)
  }
  return { kind: 'cidr', cidr: { network, prefixBits } }
}

/** The one text for a network. */
export function formatCidr({ network, prefixBits }: Cidr): string {
  return `${formatIpAddress(network)}/${prefixBits}`
}

/** A text that `parseCidr` refuses reached a set: the configuration is checked before, so this is a bug of the caller. */
export class InvalidCidrError extends Error {
  readonly code = 'INVALID_CIDR'
}

/** Immutable. */
export class CidrSet {
  readonly #ipv4: AddressRanges
  readonly #ipv6: AddressRanges

  private constructor(cidrs: readonly Cidr[]) {
    const rangesOf = (family: 4 | 6): AddressRange[] => cidrs.filter(({ network }) => network.family === family).map(rangeOf)
    this.#ipv4 = new AddressRanges(1, rangesOf(4))
    this.#ipv6 = new AddressRanges(4, rangesOf(6))
  }

  /** @throws {InvalidCidrError} */
  static of(texts: Iterable<string>): CidrSet {
    return new CidrSet(Array.from(texts, (text) => {
      const parsed = parseCidr(text)
      if (parsed.kind === 'invalid') throw new InvalidCidrError(`${text}: ${parsed.detail}`)
      return parsed.cidr
    }))
  }

  /** False for what is no IP address. */
  contains(address: string): boolean {
    const parsed = parseIpAddress(address)
    return parsed !== undefined && this.has(parsed)
  }

  has({ family, bytes }: IpAddress): boolean {
    return (family === 4 ? this.#ipv4 : this.#ipv6).has(bytes)
  }
}

function rangeOf({ network: { bytes }, prefixBits }: Cidr): AddressRange {
  return { first: bytes, last: bytes.map((byte, index) => byte | (0xff >> Math.min(8, Math.max(0, prefixBits - 8 * index)))) }
}

/** The network of so many bits that the address is in. */
export function masked(bytes: Uint8Array, prefixBits: number): Uint8Array {
  return bytes.map((byte, index) => {
    const bits = Math.min(8, Math.max(0, prefixBits - 8 * index))
    return byte & (0xff << (8 - bits))
  })
}

/** For maps and sets. */
export function keyOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

function invalid(detail: string): ParsedCidr {
  return { kind: 'invalid', detail }
}
