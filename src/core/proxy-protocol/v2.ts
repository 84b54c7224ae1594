// PROXY protocol version 2, the binary one (doc/proxy-protocol.txt §2.2).
//
//   signature 12 | version 4 bits, command 4 bits | family 4 bits, protocol 4 bits | length 2 | addresses | TLVs
//   TLV: type 1 | length 2 | value

import { formatIpAddress, ipAddressOf } from '../net/ip-address.ts'
import type { SocketAddress } from '../net/socket-address.ts'
import { crc32c } from './crc32c.ts'
import { refusedHeader, type DecodedProxyHeader, type ProxySsl, type ProxyTlvs, type RefusedHeader } from './header.ts'

export const v2Signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
export const v2FixedBytes = 16

/** 0xe0 to 0xef are for everybody's own use (§2.2.7, PP2_TYPE_MIN_CUSTOM): `ticket` is one of the tunnel's direct lane. */
export const tlvType = { alpn: 0x01, authority: 0x02, crc32c: 0x03, uniqueId: 0x05, ssl: 0x20, netns: 0x30, ticket: 0xe5 } as const
const sslSubType = { version: 0x21, commonName: 0x22, cipher: 0x23 } as const
const tlvFixedBytes = 3
const sslFixedBytes = 5
/** What is read of them; NOOP and types that nobody here knows are passed over, and may repeat. */
const knownTypes: ReadonlySet<number> = new Set([tlvType.alpn, tlvType.authority, tlvType.crc32c, tlvType.uniqueId, tlvType.ssl, tlvType.netns, tlvType.ticket])
const knownSslSubTypes: ReadonlySet<number> = new Set(Object.values(sslSubType))
export const uniqueIdBytesMax = 128
/** PP2_CLIENT_SSL, PP2_CLIENT_CERT_CONN, PP2_CLIENT_CERT_SESS */
const sslClient = { ssl: 0x01, certificateConnection: 0x02, certificateSession: 0x04 } as const

/**
 * The pairs of address family and transport protocol that the specification lists, with the bytes of their addresses and
 * ports. Those of UDP and UNIX sockets can't be what we relay: they fall back to UNSPEC, as §2.2 asks.
 */
const addressPair = { unspec: 0x00, tcp4: 0x11, udp4: 0x12, tcp6: 0x21, udp6: 0x22, unixStream: 0x31, unixDatagram: 0x32 } as const
const addressBlockBytes = new Map<number, number>([
  [addressPair.unspec, 0], [addressPair.tcp4, 12], [addressPair.udp4, 12], [addressPair.tcp6, 36], [addressPair.udp6, 36], [addressPair.unixStream, 216], [addressPair.unixDatagram, 216],
])

export type V2FixedPart =
  /** `wholeBytes`: of the header, the fixed part's 16 included. `addressBytes`: of its addresses and ports. */
  | { readonly kind: 'fixed'; readonly command: 'local' | 'proxy'; readonly pair: number; readonly addressBytes: number; readonly wholeBytes: number }
  | RefusedHeader

/** @param bytes the signature and the four bytes behind it, at least */
export function decodeV2FixedPart(bytes: Uint8Array): V2FixedPart {
  const version = (bytes[12] ?? 0) >> 4
  const command = (bytes[12] ?? 0) & 0x0f
  const pair = bytes[13] ?? 0
  const blockBytes = uint16(bytes, 14)
  const wholeBytes = v2FixedBytes + blockBytes
  if (version !== 2) return refusedHeader(`version ${version} behind the signature of version 2`)
  if (command > 1) return refusedHeader(`command ${command}`)
  // LOCAL: whatever follows is to be skipped, its family included.
  if (command === 0) return { kind: 'fixed', command: 'local', pair, addressBytes: 0, wholeBytes }
  const addressBytes = addressBlockBytes.get(pair)
  if (addressBytes === undefined) return refusedHeader(`address family ${pair >> 4} with transport protocol ${pair & 0x0f}`)
  if (blockBytes < addressBytes) return refusedHeader(`an address block of ${blockBytes} bytes; its family has ${addressBytes}`)
  return { kind: 'fixed', command: 'proxy', pair, addressBytes, wholeBytes }
}

/** @param bytes the whole header, exactly: the fixed part and as many bytes as its length tells */
export function decodeV2(bytes: Uint8Array): DecodedProxyHeader {
  const fixed = decodeV2FixedPart(bytes)
  if (fixed.kind === 'refused') return fixed
  if (fixed.command === 'local') return { kind: 'header', header: { version: 2, command: 'local', tlvs: {} } }
  const tlvsAt = v2FixedBytes + fixed.addressBytes
  if (fixed.pair !== addressPair.tcp4 && fixed.pair !== addressPair.tcp6) return withTlvs(bytes, tlvsAt, {})
  const destinationAt = v2FixedBytes + (fixed.pair === addressPair.tcp4 ? 4 : 16)
  const portsAt = tlvsAt - 4
  return withTlvs(bytes, tlvsAt, {
    source: { address: textOfAddress(bytes.subarray(v2FixedBytes, destinationAt)), port: uint16(bytes, portsAt) },
    destination: { address: textOfAddress(bytes.subarray(destinationAt, portsAt)), port: uint16(bytes, portsAt + 2) },
  })
}

function withTlvs(bytes: Uint8Array, tlvsAt: number, ends: { readonly source?: SocketAddress; readonly destination?: SocketAddress }): DecodedProxyHeader {
  const read = readTlvs(bytes, tlvsAt, knownTypes)
  if (read.kind === 'refused') return read
  const tlvs: { -readonly [Key in keyof ProxyTlvs]: ProxyTlvs[Key] } = {}
  for (const { type, valueAt, value } of read.tlvs) {
    switch (type) {
      case tlvType.alpn: tlvs.alpn = textOf(value); break
      case tlvType.authority: tlvs.authority = textOf(value); break
      case tlvType.netns: tlvs.netns = textOf(value); break
      case tlvType.ticket: tlvs.ticket = value.slice(); break
      case tlvType.uniqueId:
        if (value.byteLength > uniqueIdBytesMax) return refusedHeader(`a unique id of ${value.byteLength} bytes; at most ${uniqueIdBytesMax} are allowed`)
        tlvs.uniqueId = value.slice()
        break
      case tlvType.crc32c:
        if (!checksumMatches(bytes, valueAt, value)) return refusedHeader('the CRC32c is wrong')
        break
      case tlvType.ssl: {
        const ssl = decodeSsl(value)
        if (ssl.kind === 'refused') return ssl
        tlvs.ssl = ssl.ssl
        break
      }
      default: break
    }
  }
  return { kind: 'header', header: { version: 2, command: 'proxy', ...ends, tlvs } }
}

interface Tlv {
  readonly type: number
  readonly valueAt: number
  readonly value: Uint8Array
}

/** @param known the types that may come only once: the specification does not say which of two counts */
function readTlvs(bytes: Uint8Array, tlvsAt: number, known: ReadonlySet<number>): { readonly kind: 'tlvs'; readonly tlvs: readonly Tlv[] } | RefusedHeader {
  const tlvs: Tlv[] = []
  const seen = new Set<number>()
  for (let offset = tlvsAt; offset < bytes.byteLength;) {
    const type = bytes[offset] ?? 0
    const valueAt = offset + tlvFixedBytes
    const end = valueAt + uint16(bytes, offset + 1)
    if (valueAt > bytes.byteLength || end > bytes.byteLength) return refusedHeader('a TLV longer than what holds it')
    if (known.has(type)) {
      if (seen.has(type)) return refusedHeader(`a second TLV of type ${type}`)
      seen.add(type)
      tlvs.push({ type, valueAt, value: bytes.subarray(valueAt, end) })
    }
    offset = end
  }
  return { kind: 'tlvs', tlvs }
}

/** §2.2.3: computed over the whole header with the checksum's own bytes zero. */
function checksumMatches(bytes: Uint8Array, valueAt: number, value: Uint8Array): boolean {
  if (value.byteLength !== 4) return false
  const zeroed = bytes.slice()
  zeroed.fill(0, valueAt, valueAt + 4)
  return crc32c(zeroed) === ((uint16(value, 0) * 0x1_0000) + uint16(value, 2))
}

/** client 1 | verify 4 | sub-TLVs */
function decodeSsl(value: Uint8Array): { readonly kind: 'ssl'; readonly ssl: ProxySsl } | RefusedHeader {
  if (value.byteLength < sslFixedBytes) return refusedHeader(`an SSL TLV of ${value.byteLength} bytes; it has at least ${sslFixedBytes}`)
  const read = readTlvs(value, sslFixedBytes, knownSslSubTypes)
  if (read.kind === 'refused') return read
  const texts: { version?: string; commonName?: string; cipher?: string } = {}
  for (const { type, value } of read.tlvs) {
    switch (type) {
      case sslSubType.version: texts.version = textOf(value); break
      case sslSubType.commonName: texts.commonName = textOf(value); break
      case sslSubType.cipher: texts.cipher = textOf(value); break
      default: break
    }
  }
  const client = value[0] ?? 0
  const clientCertificate = (client & (sslClient.certificateConnection | sslClient.certificateSession)) !== 0
  const ssl = {
    clientSsl: (client & sslClient.ssl) !== 0,
    clientCertificate,
    // verify is 0 also when there was no certificate to look at.
    verified: clientCertificate && value.subarray(1, sslFixedBytes).every((byte) => byte === 0),
    ...texts,
  }
  return { kind: 'ssl', ssl }
}

/** IPv4-mapped IPv6 becomes IPv4, as everywhere in the core. */
function textOfAddress(bytes: Uint8Array): string {
  return formatIpAddress(ipAddressOf(bytes))
}

// A byte order mark counts as a character: two names that differ must not become one.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

function textOf(bytes: Uint8Array): string {
  return utf8.decode(bytes)
}

function uint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}
