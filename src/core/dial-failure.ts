// What a dial that failed says of its endpoint, by the system's name of the error (`codeOf`). All who dial ask here: drivers, the tunnel,
// checks.
//
//   our own: descriptors, memory, ports, the resolver ─▶ nothing: it counts neither as a failed dial of the endpoint nor as a failed check
//   any other                                         ─▶ nobody gets there from here

import type { DialFailure } from './connection-events.ts'

/**
 * ENOTFOUND is not among them: somebody has answered, and there is no such name. Nor are ENETUNREACH, EPERM and EACCES, which are of the
 * way to this endpoint: a route or a firewall, which may be another machine's (ICMPv6 has EACCES for it).
 */
const ownFaults: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EAGAIN', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_MEMORY'])

/** Of our own process, machine or resolver: the endpoint has no part in it. */
export function isOwnFault(code: string | undefined): boolean {
  return code !== undefined && ownFaults.has(code)
}

/** @param code undefined: not the system's; no endpoint is blamed for it */
export function dialFailureOf(code: string | undefined): DialFailure {
  switch (code) {
    // Both are RST, the second one after its SYN was answered.
    case 'ECONNREFUSED':
    case 'ECONNRESET': return 'refused'
    case 'ETIMEDOUT': return 'timeout'
    default: return code === undefined || isOwnFault(code) ? 'error' : 'unreachable'
  }
}
