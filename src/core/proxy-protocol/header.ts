// What a PROXY protocol header says, whichever version it came in (doc/proxy-protocol.txt of HAProxy).

import type { SocketAddress } from '../net/socket-address.ts'

export interface ProxyHeader {
  readonly version: 1 | 2
  /** local: the proxy speaks for itself, as in health checks (v2 only) · proxy: for the client in `source`. */
  readonly command: 'local' | 'proxy'
  /** Absent for LOCAL, UNKNOWN, AF_UNSPEC and AF_UNIX: the connection's own addresses stand. */
  readonly source?: SocketAddress
  readonly destination?: SocketAddress
  readonly tlvs: ProxyTlvs
}

/** Texts are decoded as UTF-8; what is none becomes U+FFFD. They may hold any character: escape before printing. */
export interface ProxyTlvs {
  readonly alpn?: string
  /** The host name that the client asked the proxy for. */
  readonly authority?: string
  /** At most 128 bytes. */
  readonly uniqueId?: Uint8Array
  readonly netns?: string
  readonly ssl?: ProxySsl
}

/** PP2_TYPE_SSL: the TLS connection that the proxy has ended. */
export interface ProxySsl {
  /** The client connected over TLS. */
  readonly clientSsl: boolean
  /** It presented a certificate over this connection, or over its TLS session. */
  readonly clientCertificate: boolean
  /** The certificate was presented and verified. */
  readonly verified: boolean
  readonly version?: string
  readonly commonName?: string
  readonly cipher?: string
}

export type DecodedProxyHeader =
  | { readonly kind: 'header'; readonly header: ProxyHeader }
  | { readonly kind: 'refused'; readonly detail: string }

export function refusedHeader(detail: string): Extract<DecodedProxyHeader, { kind: 'refused' }> {
  return { kind: 'refused', detail }
}
