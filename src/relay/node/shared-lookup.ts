// Name resolution for endpoints that are hostnames: one lookup at a time for each name, whose answer serves every dial that
// waits for it.
//
// A lookup holds one of libuv's few threads (UV_THREADPOOL_SIZE, 4), and a name server that is silent holds it for many
// seconds. With a lookup a dial, one tenant's name would queue thousands: every other tenant's, and the log's writes, behind
// them, long after the dials themselves have timed out.

import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'

type Answer = Parameters<LookupFunction>[2]

/** @param resolve as `dns.lookup`; all callers pass the same options */
export function sharedLookup(resolve: LookupFunction = lookup): LookupFunction {
  const waitingByName = new Map<string, Answer[]>()
  return (hostname, options, answer) => {
    const waiting = waitingByName.get(hostname)
    if (waiting !== undefined) {
      waiting.push(answer)
      return
    }
    const first = [answer]
    waitingByName.set(hostname, first)
    resolve(hostname, options, (error, address, family) => {
      waitingByName.delete(hostname)
      for (const each of first) each(error, address, family)
    })
  }
}
