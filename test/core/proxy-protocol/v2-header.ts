// Version 2 headers for tests, byte by byte: also those that no proxy should send.

import { crc32c } from '../../../src/core/proxy-protocol/crc32c.ts'

const signature = '0d0a0d0a000d0a515549540a'

export interface V2Header {
  /** @default 0x21, version 2 and PROXY */
  readonly versionAndCommand?: number
  /** @default 0x11, TCP over IPv4 */
  readonly familyAndProtocol?: number
  /** Addresses and ports in hexadecimal, spaces between. @default 192.0.2.7:40000 to 198.51.100.1:6443 */
  readonly addresses?: string
  readonly tlvs?: readonly Uint8Array[]
  /** What the length field says. @default the truth */
  readonly length?: number
}

export const tcp4Addresses = 'c0000207 c6336401 9c40 192b'
/** [2001:db8::7]:40000 to [2001:db8:1::1]:6443 */
export const tcp6Addresses = '20010db8000000000000000000000007 20010db8000100000000000000000001 9c40 192b'
export const unixAddresses = Buffer.from('/run/a.sock').toString('hex').padEnd(216, '0') + Buffer.from('/run/b.sock').toString('hex').padEnd(216, '0')

export function buildV2({ versionAndCommand = 0x21, familyAndProtocol = 0x11, addresses = tcp4Addresses, tlvs = [], length }: V2Header = {}): Uint8Array {
  const block = Buffer.concat([Buffer.from(addresses.replaceAll(' ', ''), 'hex'), ...tlvs])
  const fixed = Buffer.from([versionAndCommand, familyAndProtocol, 0, 0])
  fixed.writeUInt16BE(length ?? block.byteLength, 2)
  return Buffer.concat([Buffer.from(signature, 'hex'), fixed, block])
}

export function tlv(type: number, value: string | Uint8Array): Uint8Array {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([type, bytes.byteLength >> 8, bytes.byteLength & 0xff]), bytes])
}

/** The header with a checksum TLV, the right one, at a place among its TLVs; with zeros behind it when it is made longer. */
export function buildV2WithChecksum(header: V2Header, at: number, valueBytes = 4): Uint8Array {
  const tlvs = header.tlvs ?? []
  const [before, behind] = [tlvs.slice(0, at), tlvs.slice(at)]
  const zeroed = buildV2({ ...header, tlvs: [...before, tlv(0x03, new Uint8Array(valueBytes)), ...behind] })
  const checksum = Buffer.alloc(valueBytes)
  checksum.writeUInt32BE(crc32c(zeroed))
  return buildV2({ ...header, tlvs: [...before, tlv(0x03, checksum), ...behind] })
}
