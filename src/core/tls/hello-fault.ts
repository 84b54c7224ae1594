// What can be wrong with a client's first bytes. Each fault has a termination reason of its own, and so an alert or none.
//
//   not-tls     the first record's header is none of TLS: its first byte is not 22, or its major version is not 3.
//               HTTP, zeros and the hellos of SSL 2.0 end here, mostly at their first byte.
//   malformed   TLS began, and then something breaks RFC 8446, RFC 6066 or RFC 7301.
//   too-large   a length or a count exceeds a limit, the RFC's or ours.

export type HelloFault = 'not-tls' | 'malformed' | 'too-large'

export interface HelloRefusal {
  readonly kind: 'refused'
  readonly fault: HelloFault
  /** For the log; holds none of the client's bytes but as numbers. */
  readonly detail: string
}

export function refused(fault: HelloFault, detail: string): HelloRefusal {
  return { kind: 'refused', fault, detail }
}
