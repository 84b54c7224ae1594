// PROXY protocol version 2, the binary one (doc/proxy-protocol.txt §2.2).
//
//   signature 12 | version 4 bits, command 4 bits | family 4 bits, protocol 4 bits | length 2 | addresses | TLVs
//   TLV: type 1 | length 2 | value

import { formatIpAddress } from '../net/ip-address.ts'
import type { SocketAddress } from '../net/socket-address.ts'
import { crc32c } from './crc32c.ts'
import { refusedHeader, type DecodedProxyHeader, type ProxySsl, type ProxyTlvs } from './header.ts'

export const v2Signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
export const v2FixedBytes = 16

export const tlvType = { alpn: 0x01, authority: 0x02, crc32c: 0x03, noop: 0x04, uniqueId: 0x05, ssl: 0x20, netns: 0x30 } as const
const sslSubType = { version: 0x21, commonName: 0x22, cipher: 0x23 } as const
export const uniqueIdBytesMax = 128
/** PP2_CLIENT_SSL, PP2_CLIENT_CERT_CONN, PP2_CLIENT_CERT_SESS */
const sslClient = { ssl: 0x01, certificateConnection: 0x02, certificateSession: 0x04 } as const

/** Bytes of source address, destination address and ports, by family. */
const addressBlockBytes = { 1: 12, 2: 36, 3: 216 } as const

/** @param bytes the whole header, exactly: the fixed part and as many bytes as its length tells */
export function decodeV2(bytes: Uint8Array): DecodedProxyHeader {
  const version = (bytes[12] ?? 0) >> 4
  const command = (bytes[12] ?? 0) & 0x0f
  const family = (bytes[13] ?? 0) >> 4
  const protocol = (bytes[13] ?? 0) & 0x0f
  if (version !== 2) return refusedHeader(`version ${version} behind the signature of version 2`)
  if (command > 1) return refusedHeader(`command ${command}`)
  // LOCAL: whatever follows is to be skipped, its family included.
  if (command === 0) return { kind: 'header', header: { version: 2, command: 'local', tlvs: {} } }
  if (family === 0) return withTlvs(bytes, v2FixedBytes, {})
  if (family !== 1 && family !== 2 && family !== 3) return refusedHeader(`address family ${family}`)
  if (protocol !== 1) return refusedHeader(`transport protocol ${protocol} over a TCP connection`)
  const tlvsAt = v2FixedBytes + addressBlockBytes[family]
  if (bytes.byteLength < tlvsAt) return refusedHeader(`an address block of ${bytes.byteLength - v2FixedBytes} bytes; family ${family} has ${addressBlockBytes[family]}`)
  if (family === 3) return withTlvs(bytes, tlvsAt, {})
  const addressBytes = family === 1 ? 4 : 16
  const portsAt = v2FixedBytes + 2 * addressBytes
  return withTlvs(bytes, tlvsAt, {
    source: { address: addressAt(bytes, v2FixedBytes, addressBytes), port: uint16(bytes, portsAt) },
    destination: { address: addressAt(bytes, v2FixedBytes + addressBytes, addressBytes), port: uint16(bytes, portsAt + 2) },
  })
}

function withTlvs(bytes: Uint8Array, tlvsAt: number, ends: { readonly source?: SocketAddress; readonly destination?: SocketAddress }): DecodedProxyHeader {
  const tlvs: { -readonly [Key in keyof ProxyTlvs]: ProxyTlvs[Key] } = {}
  for (let offset = tlvsAt; offset < bytes.byteLength;) {
    const valueAt = offset + 3
    const end = valueAt + uint16(bytes, offset + 1)
    if (valueAt > bytes.byteLength || end > bytes.byteLength) return refusedHeader('a TLV longer than its header')
    const value = bytes.subarray(valueAt, end)
    switch (bytes[offset]) {
      case tlvType.alpn: tlvs.alpn = textOf(value); break
      case tlvType.authority: tlvs.authority = textOf(value); break
      case tlvType.netns: tlvs.netns = textOf(value); break
      case tlvType.uniqueId:
        if (value.byteLength > uniqueIdBytesMax) return refusedHeader(`a unique id of ${value.byteLength} bytes; at most ${uniqueIdBytesMax} are allowed`)
        tlvs.uniqueId = value.slice()
        break
      case tlvType.crc32c:
        if (!checksumMatches(bytes, valueAt, value)) return refusedHeader('the CRC32c is wrong')
        break
      case tlvType.ssl: {
        const ssl = sslOf(value)
        if (ssl === undefined) return refusedHeader('the SSL TLV is malformed')
        tlvs.ssl = ssl
        break
      }
      // NOOP, and types that we do not know: passed over, as the specification asks.
      default: break
    }
    offset = end
  }
  return { kind: 'header', header: { version: 2, command: 'proxy', ...ends, tlvs } }
}

/** §2.2.3: computed over the whole header with the checksum's own bytes zero. */
function checksumMatches(bytes: Uint8Array, valueAt: number, value: Uint8Array): boolean {
  if (value.byteLength !== 4) return false
  const zeroed = bytes.slice()
  zeroed.fill(0, valueAt, valueAt + 4)
  return crc32c(zeroed) === ((uint16(value, 0) * 0x1_0000) + uint16(value, 2))
}

/** client 1 | verify 4 | sub-TLVs */
function sslOf(value: Uint8Array): ProxySsl | undefined {
  if (value.byteLength < 5) return undefined
  const client = value[0] ?? 0
  const verify = value.subarray(1, 5)
  const texts: { version?: string; commonName?: string; cipher?: string } = {}
  for (let offset = 5; offset < value.byteLength;) {
    const end = offset + 3 + uint16(value, offset + 1)
    if (offset + 3 > value.byteLength || end > value.byteLength) return undefined
    const text = value.subarray(offset + 3, end)
    switch (value[offset]) {
      case sslSubType.version: texts.version = textOf(text); break
      case sslSubType.commonName: texts.commonName = textOf(text); break
      case sslSubType.cipher: texts.cipher = textOf(text); break
      default: break
    }
    offset = end
  }
  const clientCertificate = (client & (sslClient.certificateConnection | sslClient.certificateSession)) !== 0
  return {
    clientSsl: (client & sslClient.ssl) !== 0,
    clientCertificate,
    // verify is 0 also when there was no certificate to look at.
    verified: clientCertificate && verify.every((byte) => byte === 0),
    ...texts,
  }
}

function addressAt(bytes: Uint8Array, offset: number, byteLength: number): string {
  return formatIpAddress({ family: byteLength === 4 ? 4 : 6, bytes: bytes.subarray(offset, offset + byteLength) })
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

function uint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}
