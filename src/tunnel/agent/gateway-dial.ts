// A connection to a gateway, up to TLS: straight, or through the HTTP proxy of the node's network.

import type { TLSSocket } from 'node:tls'
import { formatSocketAddress } from '../../core/net/socket-address.ts'
import type { ClientCertificate } from './credentials.ts'
import { openThroughProxy, type HttpProxy } from './http-proxy.ts'
import { hostAndPort, openTcp, openTls } from '../open-connection.ts'

export interface GatewayDialOptions {
  /** wss://host:port */
  readonly gateway: URL
  /** PEM of the authorities to trust; undefined: the system's. */
  readonly caPem: string | undefined
  /** The node's own; undefined: none is shown. A proxy is never shown one. */
  readonly certificate: ClientCertificate | undefined
  /** Of an earlier connection, to be resumed. */
  readonly session: Buffer | undefined
  /** undefined: straight to the gateway. */
  readonly proxy: HttpProxy | undefined
  /** As in `TlsOptions`. */
  readonly mustBeTrusted?: boolean
  readonly hasSmallHello?: boolean
  /** Its reason, an Error, is told as why there is no connection. */
  readonly signal: AbortSignal
}

/** @throws {DialError} */
export async function dialGateway({ gateway, caPem, certificate, session, proxy, mustBeTrusted = true, hasSmallHello = false, signal }: GatewayDialOptions): Promise<TLSSocket> {
  const { host, port } = hostAndPort(gateway)
  const address = formatSocketAddress({ address: host, port })
  const peer = { host, port, title: `the gateway ${address}` }
  const below = proxy === undefined ? await openTcp(peer, signal) : await openThroughProxy(proxy, address, signal)
  return await openTls(below, peer, { caPem, certificate, signal, session, mustBeTrusted, hasSmallHello, minVersion: 'TLSv1.3' })
}
