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

/** `HOST:PORT`, as it is written. */
export interface HostPort {
  /** Without brackets. */
  readonly host: string
  readonly port: number
  readonly bracketed: boolean
}

/** An IPv6 address stands in brackets. @returns undefined for what is no HOST:PORT */
export function hostPortIn(text: string): HostPort | undefined {
  const [, bracketed, bare, portText] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(0|[1-9]\d{0,4})$/.exec(text) ?? []
  const [host, port] = [bracketed ?? bare ?? '', Number(portText)]
  return host === '' || !(port <= 65_535) ? undefined : { host, port, bracketed: bracketed !== undefined }
}
