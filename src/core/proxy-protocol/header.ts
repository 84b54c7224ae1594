// What a PROXY protocol header says, whichever version it came in. A balancer in front of us puts one before each
// connection's bytes, to tell whose connection it is; we do the same for those behind us.
//
// The specification is doc/proxy-protocol.txt of HAProxy: its sections are what § means in this folder.

import type { SocketAddress } from '../net/socket-address.ts'

/**
 * A v2 header over this is refused at its length field. The length field allows 64 KiB; the specification means headers to
 * fit 536 bytes (§2), and only a client certificate (PP2_SUBTYPE_SSL_CLIENT_CERT) makes one of some KiB. HAProxy neither
 * sends nor takes more than its buffer, which is 16 KiB.
 */
export const proxyHeaderBytesMax = 16_384

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
  /** Of the tunnel's direct lane (core/tunnel/ticket.ts). */
  readonly ticket?: Uint8Array
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

export interface RefusedHeader {
  readonly kind: 'refused'
  /** What is wrong, for the log; it quotes nothing of the peer's. */
  readonly detail: string
}

export type DecodedProxyHeader = { readonly kind: 'header'; readonly header: ProxyHeader } | RefusedHeader

export function refusedHeader(detail: string): RefusedHeader {
  return { kind: 'refused', detail }
}
