// PROXY protocol version 1, the human-readable one (doc/proxy-protocol.txt §2.1).
//
//   PROXY TCP4 203.0.113.9 198.51.100.1 4321 6443\r\n
//   PROXY UNKNOWN …\r\n

import { canonicalAddress } from '../net/ip-address.ts'
import type { SocketAddress } from '../net/socket-address.ts'
import { refusedHeader, type DecodedProxyHeader } from './header.ts'

/** CRLF included: the worst case that the specification computes. */
export const v1HeaderBytesMax = 107

/** @param line ASCII, without its CRLF */
export function decodeV1(line: string): DecodedProxyHeader {
  const fields = line.split(' ')
  const [signature, protocol] = fields
  if (signature !== 'PROXY') return refusedHeader('no PROXY signature')
  if (protocol === 'UNKNOWN') return { kind: 'header', header: { version: 1, command: 'proxy', tlvs: {} } }
  if (protocol !== 'TCP4' && protocol !== 'TCP6') return refusedHeader('the protocol is not TCP4, TCP6 or UNKNOWN')
  if (fields.length !== 6) return refusedHeader(`${fields.length} fields instead of 6`)
  const [, , sourceAddress = '', destinationAddress = '', sourcePort = '', destinationPort = ''] = fields
  const source = endOf(protocol, sourceAddress, sourcePort)
  const destination = endOf(protocol, destinationAddress, destinationPort)
  if (source === undefined || destination === undefined) return refusedHeader(`an address or a port is none of ${protocol}`)
  return { kind: 'header', header: { version: 1, command: 'proxy', source, destination, tlvs: {} } }
}

function endOf(protocol: 'TCP4' | 'TCP6', addressText: string, portText: string): SocketAddress | undefined {
  const address = canonicalAddress(addressText)
  if (address === undefined || addressText.includes(':') !== (protocol === 'TCP6')) return undefined
  if (!/^(0|[1-9]\d{0,4})$/.test(portText) || Number(portText) > 65_535) return undefined
  return { address, port: Number(portText) }
}
