// Hostnames as routes know them: ASCII, lower case, no trailing dot, A-labels (RFC 5890) only.
//
// Names arrive from ClientHellos (any bytes) and from the configuration (patterns). Both go through the same rules, so a
// name that a client can send and a name that an operator can write are the same set. Underscores are allowed: they occur.

import { parseIpAddress } from '../net/ip-address.ts'

/** RFC 1035 §2.3.4, without the trailing dot. */
export const hostnameBytesMax = 253
export const labelBytesMax = 63

export type NormalizedHostname =
  | { readonly kind: 'hostname'; readonly hostname: string }
  /** An IPv4 or IPv6 address, with or without brackets, which RFC 6066 §3 does not allow as a name. */
  | { readonly kind: 'ip-literal' }
  | { readonly kind: 'invalid'; readonly detail: string }

/** @param raw as it was received, one character a byte; a single trailing dot is dropped */
export function normalizeHostname(raw: string): NormalizedHostname {
  if (raw.length === 0) return invalid('the name is empty')
  const name = raw.endsWith('.') ? raw.slice(0, -1) : raw
  if (name.length === 0) return invalid('the name is a single dot')
  if (name.length > hostnameBytesMax) return invalid(`the name has ${name.length} bytes; at most ${hostnameBytesMax} are allowed`)
  if (name.includes(':') || name.startsWith('[')) {
    const address = name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name
    const isIpv6 = address.includes(':') && parseIpAddress(address) !== undefined
    return isIpv6 ? { kind: 'ip-literal' } : invalid('the name has a colon or a bracket, and is no IPv6 address')
  }
  return normalizeLabels(name)
}

function normalizeLabels(name: string): NormalizedHostname {
  let labelStart = 0
  let lastLabelIsNumber = true
  let isLower = true
  for (let index = 0; index <= name.length; index++) {
    const code = index === name.length ? dot : name.charCodeAt(index)
    if (code === dot) {
      const detail = labelFault(name, labelStart, index)
      if (detail !== undefined) return invalid(detail)
      lastLabelIsNumber = isNumber(name, labelStart, index)
      labelStart = index + 1
    } else if (!isHostnameCharacter(code)) {
      return invalid(`byte 0x${code.toString(16).padStart(2, '0')} at offset ${index} is not allowed in a hostname`)
    } else if (isUpper(code)) {
      isLower = false
    }
  }
  // RFC 1123 §2.1 and the URL standard: what ends in a number can only be an IPv4 address, or is nothing.
  if (lastLabelIsNumber) return parseIpAddress(name) === undefined ? invalid('the last label is a number') : { kind: 'ip-literal' }
  // A text that is looked up again has its hash.
  return { kind: 'hostname', hostname: isLower ? name : name.toLowerCase() }
}

const dot = 0x2e
const hyphen = 0x2d

function labelFault(name: string, start: number, end: number): string | undefined {
  if (start === end) return 'the name has an empty label'
  if (end - start > labelBytesMax) return `a label has ${end - start} bytes; at most ${labelBytesMax} are allowed`
  if (name.charCodeAt(start) === hyphen || name.charCodeAt(end - 1) === hyphen) return 'a label begins or ends with a hyphen'
  return undefined
}

function isNumber(name: string, start: number, end: number): boolean {
  for (let index = start; index < end; index++) {
    const code = name.charCodeAt(index)
    if (code < 0x30 || code > 0x39) return false
  }
  return true
}

function isUpper(code: number): boolean {
  return code >= 0x41 && code <= 0x5a
}

/** Letters, digits, hyphen, underscore. */
function isHostnameCharacter(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || isUpper(code) || (code >= 0x30 && code <= 0x39) || code === hyphen || code === 0x5f
}

export type ParsedPattern =
  | { readonly kind: 'pattern'; readonly pattern: string; readonly wildcard: boolean }
  | { readonly kind: 'invalid'; readonly detail: string }

/** A route's name: exact, or `*.x` for one or more labels below `x` (Gateway API, TLSRoute). */
export function parseHostnamePattern(text: string): ParsedPattern {
  const wildcard = text.startsWith('*.')
  const base = wildcard ? text.slice(2) : text
  if (base.includes('*')) return invalid('a wildcard stands only as the whole first label: *.example.com')
  const normalized = normalizeHostname(base)
  switch (normalized.kind) {
    case 'invalid': return normalized
    case 'ip-literal': return invalid('an IP address is no hostname: clients do not send one as a server name')
    case 'hostname': {
      const pattern = wildcard ? `*.${normalized.hostname}` : normalized.hostname
      if (pattern.length > hostnameBytesMax) return invalid(`the name has ${pattern.length} bytes; at most ${hostnameBytesMax} are allowed`)
      return { kind: 'pattern', pattern, wildcard }
    }
    default: return normalized satisfies never
  }
}

function invalid(detail: string): { readonly kind: 'invalid'; readonly detail: string } {
  return { kind: 'invalid', detail }
}
