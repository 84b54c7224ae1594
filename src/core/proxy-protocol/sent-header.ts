// The PROXY header that a tenant's API server gets before a connection's own bytes, as its tenant asks for it.

import type { SocketAddress } from '../net/socket-address.ts'
import { encodeProxyHeader } from './encode.ts'

/** What version 2 can tell beside the addresses, each when asked for. */
export const sentTlvKinds = ['authority', 'unique-id', 'crc32c'] as const

/** As it is written, every default resolved: plain data. */
export type SentProxyHeader = { readonly version: 'v1' } | { readonly version: 'v2'; readonly tlvs: readonly (typeof sentTlvKinds)[number][] }

export interface ProxiedConnection {
  readonly source: SocketAddress
  readonly destination: SocketAddress
  /** The name that the client asked for, as it routes; undefined: it asked for none, or nobody has read it. */
  readonly authority?: string | undefined
  readonly uniqueId: Uint8Array
}

export function sentProxyHeader(sent: SentProxyHeader, { source, destination, authority, uniqueId }: ProxiedConnection): Uint8Array {
  if (sent.version === 'v1') return encodeProxyHeader({ version: 'v1', source, destination })
  return encodeProxyHeader({
    version: 'v2', source, destination,
    ...(authority !== undefined && sent.tlvs.includes('authority') ? { authority } : {}),
    ...(sent.tlvs.includes('unique-id') ? { uniqueId } : {}),
    ...(sent.tlvs.includes('crc32c') ? { crc32c: true } : {}),
  })
}

/** In words: `v2 with authority, unique-id`. */
export function sentHeaderText(sent: SentProxyHeader): string {
  return sent.version === 'v1' || sent.tlvs.length === 0 ? sent.version : `${sent.version} with ${sent.tlvs.join(', ')}`
}
