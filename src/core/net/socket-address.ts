/** One end of a TCP connection. `address` is an IP literal in canonical text (RFC 5952 for IPv6, no brackets, no zone). */
export interface SocketAddress {
  readonly address: string
  /** 0–65535 */
  readonly port: number
}

/** `192.0.2.1:6443`, `[2001:db8::1]:6443` */
export function formatSocketAddress({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
