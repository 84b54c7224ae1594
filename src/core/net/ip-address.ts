// IP addresses as text and as bytes (RFC 4291 §2.2, RFC 5952 §4).
//
// Text is parsed strictly: what two programs could read differently, such as 010.0.0.1, is refused. An IPv4-mapped IPv6
// address (::ffff:192.0.2.1) is the IPv4 address everywhere, so that a rule for one holds for the other.

import { ipv4Text } from './ipv4-text.ts'

export interface IpAddress {
  readonly family: 4 | 6
  /** 4 or 16, in network order. */
  readonly bytes: Uint8Array
}

/**
 * IPv4 in four decimal octets without leading zeros, IPv6 as in RFC 4291 §2.2 without a zone. IPv4-mapped IPv6
 * (`::ffff:192.0.2.1`) is the IPv4 address: a listener on `::` reports its IPv4 peers that way.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const bytes = parseIpv4(text)
    return bytes === undefined ? undefined : { family: 4, bytes }
  }
  const bytes = parseIpv6(text)
  return bytes === undefined ? undefined : ipAddressOf(bytes)
}

/** @param bytes 4 or 16, in network order. IPv4-mapped IPv6 becomes the IPv4 address here too. */
export function ipAddressOf(bytes: Uint8Array): IpAddress {
  if (bytes.byteLength === 4) return { family: 4, bytes }
  return isMappedAt(bytes, 0) ? { family: 4, bytes: bytes.slice(12) } : { family: 6, bytes }
}

/** IPv4 dotted, IPv6 as RFC 5952 has it. */
export function formatIpAddress({ family, bytes }: IpAddress): string {
  return family === 4 ? ipv4Text(bytes, 0) : formatIpv6(bytes)
}

/**
 * As `formatIpAddress`, without an object for it.
 * @param bytes an address in 16 bytes from `at`, an IPv4 one as IPv4-mapped IPv6
 */
export function formatIpAddressAt(bytes: Uint8Array, at: number): string {
  return isMappedAt(bytes, at) ? ipv4Text(bytes, at + 12) : formatIpv6(bytes.subarray(at, at + 16))
}

/** The one text for an address that `parseIpAddress` takes; undefined for what it does not. */
export function canonicalAddress(text: string): string | undefined {
  const parsed = parseIpAddress(text)
  return parsed === undefined ? undefined : formatIpAddress(parsed)
}

function parseIpv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4)
  return writeIpv4(text, bytes, 0) ? bytes : undefined
}

/**
 * Asked for with each connection, so nothing is split.
 * @param target four bytes of it from `to`, which mean nothing where the text is no IPv4 address
 */
export function writeIpv4(text: string, target: Uint8Array, to: number): boolean {
  let at = 0
  for (let octet = 0; octet < 4; octet++) {
    const start = at
    let value = 0
    for (; at < text.length; at++) {
      const digit = text.charCodeAt(at) - zero
      if (digit < 0 || digit > 9 || (at > start && value === 0)) break
      value = 10 * value + digit
      if (value > 255) return false
    }
    if (at === start || (octet < 3 && text.charCodeAt(at++) !== dot)) return false
    target[to + octet] = value
  }
  return at === text.length
}

const [zero, dot] = [0x30, 0x2e]

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  // An embedded IPv4 address stands at the very end (RFC 4291 §2.2).
  if (halves.length > 2 || (halves.length === 2 && halves[0]?.includes('.') === true)) return undefined
  const head = parseGroups(halves[0] ?? '')
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '') : []
  if (head === undefined || tail === undefined) return undefined
  const groups = head.length + tail.length
  // `::` stands for at least one group of zeros (RFC 4291 §2.2 says one or more).
  if (halves.length === 2 ? groups > 7 : groups !== 8) return undefined
  const bytes = new Uint8Array(16)
  for (const [index, group] of head.entries()) writeGroup(bytes, index, group)
  for (const [index, group] of tail.entries()) writeGroup(bytes, 8 - tail.length + index, group)
  return bytes
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const ipv4 = index === parts.length - 1 ? parseIpv4(part) : undefined
      if (ipv4 === undefined) return undefined
      groups.push(((ipv4[0] ?? 0) << 8) | (ipv4[1] ?? 0), ((ipv4[2] ?? 0) << 8) | (ipv4[3] ?? 0))
    } else {
      if (!/^[0-9A-Fa-f]{1,4}$/.test(part)) return undefined
      groups.push(Number.parseInt(part, 16))
    }
  }
  return groups
}

function writeGroup(bytes: Uint8Array, index: number, group: number): void {
  bytes[2 * index] = group >> 8
  bytes[2 * index + 1] = group & 0xff
}

/** @param at of the first of 16 bytes */
export function isMappedAt(bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < 10; index++) if (bytes[at + index] !== 0) return false
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff
}

function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0))
  const { start, length } = longestZeros(groups)
  // RFC 5952 §4.2.2: a single group of zeros is not shortened.
  if (length < 2) return joined(groups)
  return `${joined(groups.slice(0, start))}::${joined(groups.slice(start + length))}`
}

function joined(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(':')
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === 0) length += 1
    if (length > best.length) best = { start, length }
  }
  return best
}
