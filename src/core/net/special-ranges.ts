// Networks whose addresses mean another machine to everybody, or none: a tenant's agent must not announce them, nor dial them
// unless its own configuration names them (RFC 6890 and its registry).

import { parseCidr, type Cidr } from './cidr.ts'
import { parseIpAddress, type IpAddress } from './ip-address.ts'

const special: readonly (readonly [network: string, what: string])[] = [
  ['0.0.0.0/8', 'this network'],
  ['127.0.0.0/8', 'loopback'],
  // 169.254.169.254 has clouds' credentials.
  ['169.254.0.0/16', 'link-local'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['::/128', 'the unspecified address'],
  ['::1/128', 'loopback'],
  ['fe80::/10', 'link-local'],
  ['ff00::/8', 'multicast'],
]

interface SpecialRange {
  readonly cidr: Cidr
  readonly what: string
}

const ranges: readonly SpecialRange[] = special.flatMap(([network, what]) => {
  const parsed = parseCidr(network)
  return parsed.kind === 'cidr' ? [{ cidr: parsed.cidr, what }] : []
})

/** @returns what it is, `loopback`; undefined for an address like any other, and for what is none */
export function specialAddress(address: string): string | undefined {
  const parsed = parseIpAddress(address)
  return parsed === undefined ? undefined : ranges.find(({ cidr }) => isWithin({ network: parsed, prefixBits: bitsOf(parsed) }, cidr))?.what
}

/** @returns what there is in it that is special; undefined: nothing */
export function specialWithin(cidr: Cidr): string | undefined {
  return ranges.find((range) => isWithin(cidr, range.cidr) || isWithin(range.cidr, cidr))?.what
}

/** Whether all of the network is special, in one way. */
export function isAllSpecial(cidr: Cidr): boolean {
  return ranges.some((range) => isWithin(cidr, range.cidr))
}

/** Whether all of `inner` is in `outer`. */
export function isWithin(inner: Cidr, outer: Cidr): boolean {
  if (inner.network.family !== outer.network.family || inner.prefixBits < outer.prefixBits) return false
  return outer.network.bytes.every((byte, index) => {
    const bits = Math.min(8, Math.max(0, outer.prefixBits - 8 * index))
    const mask = (0xff << (8 - bits)) & 0xff
    return ((inner.network.bytes[index] ?? 0) & mask) === (byte & mask)
  })
}

function bitsOf({ family }: IpAddress): number {
  return family === 4 ? 32 : 128
}
