// The bodies of the ClientHello's extensions that we read, each a vector with its own length before it.
//
//   server_name (RFC 6066 §3)               list length 2 | (type 1 | length 2 | name)
//   ALPN (RFC 7301 §3.1)                    list length 2 | (length 1 | protocol) …
//   supported_versions (RFC 8446 §4.2.1)    list length 1 | version 2 …

import { refused, type HelloRefusal } from './hello-fault.ts'

type ParsedBody<Value> = { readonly kind: 'valid'; readonly value: Value } | HelloRefusal

/** Of one hello. Browsers send two or three, and each becomes a string. */
export const alpnProtocolsMax = 64

export const nameTypeHostName = 0

/**
 * RFC 6066 allows one name of each type, and has defined one type in two decades. Servers take exactly one host_name;
 * so do we, because a second name that another parser picks would route past our decision.
 */
export function parseServerName(body: Uint8Array): ParsedBody<string> {
  if (body.byteLength < 5) return invalid(`server_name of ${body.byteLength} bytes`)
  if (uint16(body, 0) !== body.byteLength - 2) return invalid(`a server name list of ${uint16(body, 0)} bytes in ${body.byteLength - 2}`)
  if (body[2] !== nameTypeHostName) return invalid(`a server name of type ${body[2]}`)
  const length = uint16(body, 3)
  if (length === 0) return invalid('an empty server name')
  if (length > body.byteLength - 5) return invalid(`a server name of ${length} bytes in ${body.byteLength - 5}`)
  if (length < body.byteLength - 5) return invalid('more than one server name')
  return valid(latin1(body, 5, body.byteLength))
}

export function parseAlpn(body: Uint8Array): ParsedBody<readonly string[]> {
  if (body.byteLength < 4 || uint16(body, 0) !== body.byteLength - 2) return invalid('the lengths of the ALPN list disagree')
  const protocols: string[] = []
  for (let offset = 2; offset < body.byteLength;) {
    const end = offset + 1 + (body[offset] ?? 0)
    if (end === offset + 1) return invalid('an empty ALPN protocol')
    if (end > body.byteLength) return invalid('an ALPN protocol longer than its list')
    if (protocols.length === alpnProtocolsMax) return refused('too-large', `over ${alpnProtocolsMax} ALPN protocols`)
    protocols.push(latin1(body, offset + 1, end))
    offset = end
  }
  return valid(protocols)
}

export function parseSupportedVersions(body: Uint8Array): ParsedBody<readonly number[]> {
  const length = body[0] ?? 0
  if (length !== body.byteLength - 1 || length < 2 || length % 2 !== 0) return invalid('the length of supported_versions is wrong')
  const versions: number[] = []
  for (let offset = 1; offset < body.byteLength; offset += 2) versions.push(uint16(body, offset))
  return valid(versions)
}

export function uint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}

/** Eight at a time: each call makes one string. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = ''
  let at = start
  for (; at + 8 <= end; at += 8) {
    text += String.fromCharCode(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0, bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, bytes[at + 5] ?? 0, bytes[at + 6] ?? 0, bytes[at + 7] ?? 0)
  }
  for (; at < end; at++) text += String.fromCharCode(bytes[at] ?? 0)
  return text
}

function valid<Value>(value: Value): ParsedBody<Value> {
  return { kind: 'valid', value }
}

function invalid(detail: string): HelloRefusal {
  return refused('malformed', detail)
}
