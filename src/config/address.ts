// Addresses as they are written: `0.0.0.0:6443`, `[::]:6443`, and for endpoints also `api.example.com:6443`.

import { canonicalAddress } from '../core/net/ip-address.ts'
import { hostPortIn, type SocketAddress } from '../core/net/socket-address.ts'
import { normalizeHostname } from '../core/route/hostname.ts'

/** An IP literal and a port, 0–65535: 0 lets the system choose. */
export function parseSocketAddress(text: string): SocketAddress | undefined {
  const parts = hostPortIn(text)
  const address = parts === undefined ? undefined : canonicalAddress(parts.host)
  if (parts === undefined || address === undefined || parts.bracketed !== address.includes(':')) return undefined
  return { address, port: parts.port }
}

/** As above, or a hostname that is resolved at each dial; the port is 1–65535. */
export function parseEndpointAddress(text: string): SocketAddress | undefined {
  const parts = hostPortIn(text)
  if (parts === undefined || parts.port === 0) return undefined
  const address = parsePoolAddress(parts.host)
  if (address === undefined || parts.bracketed !== address.includes(':')) return undefined
  return { address, port: parts.port }
}

/** An IP literal without brackets, or a hostname. */
export function parsePoolAddress(text: string): string | undefined {
  const address = canonicalAddress(text)
  if (address !== undefined) return address
  const normalized = normalizeHostname(text)
  return normalized.kind === 'hostname' ? normalized.hostname : undefined
}
