// When a Kubernetes client whose connection did not come about tries again, as client-go v0.36 does. Pure.
//
//   RST, or an end without an answer   the request is sent again after 1 s, ten times over (rest/with_retry.go)
//   an alert, a timeout, ECONNREFUSED  the reflector behind it waits for 0.8 s, and twice that each time up to 30 s, with
//                                      jitter of up to as much again (tools/cache/reflector.go, wait.Jitter)

export type Failure = 'reset' | 'closed' | 'alert' | 'timeout' | 'refused'

const resendMs = 1_000
const resendsMax = 10
const backoffMs = 800
const backoffMsMax = 30_000

/** From the connection to the end of the TLS handshake (net/http.Transport, as client-go sets it up). */
export const handshakeTimeoutMs = 10_000

export interface Tries {
  /** Of the request under way, since the reflector began it. */
  readonly resends: number
  /** Requests that failed, in a row. */
  readonly failures: number
}

export const noTries: Tries = { resends: 0, failures: 0 }

/** @param random from 0 to 1 */
export function nextTry({ resends, failures }: Tries, failure: Failure, random: number): { readonly tries: Tries; readonly afterMs: number } {
  if ((failure === 'reset' || failure === 'closed') && resends < resendsMax) return { tries: { resends: resends + 1, failures }, afterMs: resendMs }
  return { tries: { resends: 0, failures: failures + 1 }, afterMs: Math.min(backoffMsMax, backoffMs * 2 ** failures) * (1 + random) }
}
