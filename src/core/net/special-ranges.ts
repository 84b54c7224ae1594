// Networks whose addresses mean another machine to everybody, or none: a tenant's agent must not announce them, nor dial them
// unless its own configuration names them (RFC 6890 and its registry).

import { parseCidr, type Cidr } from './cidr.ts'
import { formatIpAddress, parseIpAddress, type IpAddress } from './ip-address.ts'

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

/** Where clouds give out credentials, in networks that are like any other: not dialled by accident either. */
const metadata = ['168.63.129.16', '100.100.100.200', 'fd00:ec2::254', 'fd20:ce::254'] as const
/** NAT64 (RFC 6052): an IPv4 address in its last four bytes. */
const nat64 = '64:ff9b::/96'

interface SpecialRange {
  readonly cidr: Cidr
  readonly what: string
}

const ranges: readonly SpecialRange[] = special.flatMap(([network, what]) => cidrsIn(network).map((cidr) => ({ cidr, what })))
const metadataRanges: readonly SpecialRange[] = metadata.flatMap((address) => cidrsIn(address).map((cidr) => ({ cidr, what: 'a cloud’s metadata' })))
const nat64Ranges = cidrsIn(nat64)
/** Not dialled by accident. */
const undialled: readonly SpecialRange[] = [...ranges, ...metadataRanges]

/** @returns what it is, `loopback`; undefined for an address like any other, and for what is none */
export function specialAddress(address: string): string | undefined {
  const parsed = parseIpAddress(address)
  if (parsed === undefined) return undefined
  const own: Cidr = { network: parsed, prefixBits: bitsOf(parsed) }
  const what = undialled.find(({ cidr }) => isWithin(own, cidr))?.what
  const embedded = ipv4Within(own)
  return what ?? (embedded === undefined ? undefined : specialAddress(formatIpAddress(embedded.network)))
}

/** @returns what there is in it that is special; undefined: nothing */
export function specialWithin(cidr: Cidr): string | undefined {
  return ranges.find((range) => isWithin(cidr, range.cidr) || isWithin(range.cidr, cidr))?.what ?? metadataRanges.find((range) => isWithin(cidr, range.cidr))?.what
}

/** Whether all of the network is special, in one way. */
export function isAllSpecial(cidr: Cidr): boolean {
  const embedded = ipv4Within(cidr)
  return undialled.some((range) => isWithin(cidr, range.cidr)) || (embedded !== undefined && isAllSpecial(embedded))
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

/** Of NAT64. */
function ipv4Within(cidr: Cidr): Cidr | undefined {
  if (!nat64Ranges.some((range) => isWithin(cidr, range))) return undefined
  return { network: { family: 4, bytes: cidr.network.bytes.subarray(12) }, prefixBits: cidr.prefixBits - 96 }
}

function cidrsIn(network: string): readonly Cidr[] {
  const parsed = parseCidr(network)
  return parsed.kind === 'cidr' ? [parsed.cidr] : []
}

function bitsOf({ family }: IpAddress): number {
  return family === 4 ? 32 : 128
}
