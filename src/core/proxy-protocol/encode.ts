// Writes PROXY protocol headers for the API servers and balancers behind us: §2.1's line, or §2.2's block with the TLVs
//
//   AUTHORITY, UNIQUE_ID, a ticket, CRC32C
//
// in this order, each when asked for. The checksum comes last, so that its place is known once all else is written.

import { formatIpAddress, parseIpAddress, type IpAddress } from '../net/ip-address.ts'
import type { SocketAddress } from '../net/socket-address.ts'
import { crc32c } from './crc32c.ts'
import { proxyHeaderBytesMax } from './header.ts'
import { tlvType, uniqueIdBytesMax, v2Signature } from './v2.ts'

/** The addresses of a connection that is relayed. Version 1 can tell nothing else. */
export type ProxyHeaderOptions = ProxyHeaderEnds & ({ readonly version: 'v1' } | ({ readonly version: 'v2' } & ProxyHeaderExtras))

interface ProxyHeaderEnds {
  readonly source: SocketAddress
  readonly destination: SocketAddress
}

interface ProxyHeaderExtras {
  /** The name that the client asked for. */
  readonly authority?: string
  /** At most 128 bytes. */
  readonly uniqueId?: Uint8Array
  /** Of the tunnel's direct lane. */
  readonly ticket?: Uint8Array
  /** A checksum over the whole header. @default false */
  readonly crc32c?: boolean
}

/** An address that is no IP literal, a port over 65535, a unique id or a header over its limit: misuse. */
export class ProxyHeaderError extends Error {
  readonly code = 'PROXY_HEADER'
}

const versionAndProxyCommand = 0x21
const versionAndLocalCommand = 0x20
const unspecified = 0x00
const familyAndStream = { 4: 0x11, 6: 0x21 } as const

/** @throws {ProxyHeaderError} */
export function encodeProxyHeader(options: ProxyHeaderOptions): Uint8Array {
  const { source, destination } = options
  const [from, to] = sameFamily(addressOf(source), addressOf(destination))
  if (options.version === 'v2') return encodeV2(options, from, to)
  const protocol = from.family === 4 ? 'TCP4' : 'TCP6'
  return ascii(`PROXY ${protocol} ${formatIpAddress(from)} ${formatIpAddress(to)} ${source.port} ${destination.port}\r\n`)
}

/** Of a connection that is our own and relayed for nobody, such as a check (§2.1 UNKNOWN, §2.2 LOCAL). */
export function encodeOwnHeader(version: 'v1' | 'v2'): Uint8Array {
  return version === 'v1' ? ascii('PROXY UNKNOWN\r\n') : concat([v2Signature, Uint8Array.of(versionAndLocalCommand, unspecified), uint16(0)])
}

function encodeV2({ source, destination, authority, uniqueId, ticket, crc32c: withChecksum }: ProxyHeaderEnds & ProxyHeaderExtras, from: IpAddress, to: IpAddress): Uint8Array {
  if (uniqueId !== undefined && uniqueId.byteLength > uniqueIdBytesMax) throw new ProxyHeaderError(`a unique id of ${uniqueId.byteLength} bytes`)
  const tlvs = [
    ...(authority === undefined ? [] : [tlv(tlvType.authority, new TextEncoder().encode(authority))]),
    ...(uniqueId === undefined ? [] : [tlv(tlvType.uniqueId, uniqueId)]),
    ...(ticket === undefined ? [] : [tlv(tlvType.ticket, ticket)]),
    ...(withChecksum === true ? [tlv(tlvType.crc32c, new Uint8Array(4))] : []),
  ]
  const block = concat([from.bytes, to.bytes, uint16(source.port), uint16(destination.port), ...tlvs])
  const header = concat([v2Signature, Uint8Array.of(versionAndProxyCommand, familyAndStream[from.family]), uint16(block.byteLength), block])
  if (header.byteLength > proxyHeaderBytesMax) throw new ProxyHeaderError(`a header of ${header.byteLength} bytes; at most ${proxyHeaderBytesMax} are read`)
  // The checksum is the last TLV; its own bytes count as zero.
  if (withChecksum === true) new DataView(header.buffer).setUint32(header.byteLength - 4, crc32c(header))
  return header
}

function addressOf({ address, port }: SocketAddress): IpAddress {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw new ProxyHeaderError(`${port} is no port`)
  const parsed = parseIpAddress(address)
  if (parsed === undefined) throw new ProxyHeaderError(`${JSON.stringify(address)} is no IP address`)
  return parsed
}

/**
 * A header has one family. Where the two ends differ, the IPv4 one is written as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2); in
 * version 1 as `::ffff:c000:201`, because §2.1 knows no dots in an IPv6 address.
 */
function sameFamily(from: IpAddress, to: IpAddress): [IpAddress, IpAddress] {
  return from.family === to.family ? [from, to] : [mapped(from), mapped(to)]
}

function mapped({ family, bytes }: IpAddress): IpAddress {
  return { family: 6, bytes: family === 6 ? bytes : concat([new Uint8Array(10), Uint8Array.of(0xff, 0xff), bytes]) }
}

function tlv(type: number, value: Uint8Array): Uint8Array {
  return concat([Uint8Array.of(type), uint16(value.byteLength), value])
}

function uint16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let offset = 0
  for (const part of parts) {
    bytes.set(part, offset)
    offset += part.byteLength
  }
  return bytes
}
