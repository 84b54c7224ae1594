// Every way a connection can end: one union for the log, the metrics and the tests.
//
// `outcome` is the coarse label: `completed` (the peers ended it in good order, or the relay's part in it was over), `aborted` (a peer or a deadline cut a
// relayed connection), `refused` (policy or the client's own bytes: nothing was dialled), `failed` (the upstream side
// never answered). `alert` is the TLS alert the client is sent before the close; absent where the peer does not speak
// TLS, has left, or already talks to its API server.

import type { AlertDescription } from './tls/alert.ts'

export type TerminationOutcome = 'completed' | 'aborted' | 'refused' | 'failed'

interface Termination {
  readonly outcome: TerminationOutcome
  readonly alert?: AlertDescription
  readonly meaning: string
}

export const terminations = {
  // Relayed connections.
  'completed': { outcome: 'completed', meaning: 'both sides sent FIN' },
  'downstream-reset': { outcome: 'aborted', meaning: 'the client reset the connection' },
  'upstream-reset': { outcome: 'aborted', meaning: 'the API server reset the connection' },
  'downstream-unresponsive': { outcome: 'aborted', meaning: 'the client acknowledged nothing any more: its host or its network vanished' },
  'upstream-unresponsive': { outcome: 'aborted', meaning: 'the API server acknowledged nothing any more: its host or its network vanished' },
  'idle-timeout': { outcome: 'aborted', meaning: 'no byte in either direction for timeouts.idle' },
  'half-closed-timeout': { outcome: 'aborted', meaning: 'one side sent FIN, and nothing moved for timeouts.halfClosed' },
  'drain-timeout': { outcome: 'aborted', meaning: 'still open in the second half of timeouts.drain, over which a gateway that drains spreads these' },
  'worker-failed': { outcome: 'aborted', meaning: 'a bug ended the thread that relayed it' },
  'system-limit': { outcome: 'aborted', meaning: 'the system has no room to watch one more connection' },
  'gateway-stopped': { outcome: 'aborted', meaning: 'the gateway was told to end at once' },
  'closed-by-operator': { outcome: 'aborted', meaning: 'the admin API was told to close it, or to drain its tenant or its endpoint' },
  'node-revoked': { outcome: 'aborted', meaning: 'the node whose ticket had brought it was revoked' },

  // Before the route: the client's own bytes.
  'proxy-header-timeout': { outcome: 'refused', meaning: 'no whole PROXY header within timeouts.hello of the accept' },
  'proxy-header-invalid': { outcome: 'refused', meaning: 'the PROXY header breaks its specification' },
  'proxy-source-untrusted': { outcome: 'refused', meaning: 'the listener takes PROXY headers, but not from this source' },
  'hello-timeout': { outcome: 'refused', meaning: 'no whole ClientHello within timeouts.hello of the accept' },
  'hello-not-tls': { outcome: 'refused', meaning: 'the first bytes are no TLS handshake record' },
  'hello-malformed': { outcome: 'refused', alert: 'decode_error', meaning: 'the ClientHello breaks RFC 8446 or RFC 6066' },
  'hello-too-large': { outcome: 'refused', alert: 'decode_error', meaning: 'the ClientHello exceeds a limit on bytes or records' },
  'ticket-refused': { outcome: 'refused', meaning: 'the ticket of a node’s agent is none that lets it through' },
  'closed-before-hello': { outcome: 'refused', meaning: 'the client left before its ClientHello was whole' },

  // Routing and admission.
  'handed-over': { outcome: 'completed', meaning: 'a tunnel hostname, or no way for an agent’s connection: the tunnel has it from here on' },
  'no-server-name': { outcome: 'refused', alert: 'unrecognized_name', meaning: 'no name in the hello, and no defaultTenant' },
  'invalid-server-name': { outcome: 'refused', alert: 'unrecognized_name', meaning: 'the name in the hello is no hostname' },
  'unknown-server-name': { outcome: 'refused', alert: 'unrecognized_name', meaning: 'no tenant has this hostname' },
  'source-not-allowed': { outcome: 'refused', alert: 'access_denied', meaning: "the client's address is not in the tenant's allowedSources" },
  'connection-limit': { outcome: 'refused', alert: 'internal_error', meaning: 'the process is at its connection limit' },

  // Limits before the hello: reset at once, without an alert.
  'hello-limit': { outcome: 'refused', meaning: 'too many connections of the process, or of this source, have no whole ClientHello yet' },
  'listener-connection-limit': { outcome: 'refused', meaning: 'the listener is at its connection limit' },
  'listener-rate-limit': { outcome: 'refused', meaning: 'the listener’s connections come faster than it allows' },
  'source-connection-limit': { outcome: 'refused', meaning: 'the source is at its connection limit on the listener' },
  'source-rate-limit': { outcome: 'refused', meaning: 'the source’s connections come faster than the listener allows' },

  // Limits once the tenant is known. client-go retries a request whose connection was reset or closed each second, ten times over; after
  // an alert it gives up at once, and its reflectors come back after 0.8 s, doubled each time, up to 30 s
  // (v0.36.3: rest/request.go isErrRetryableFunc, rest/with_retry.go, tools/cache/reflector.go defaultBackoffInit).
  'tenant-connection-limit': { outcome: 'refused', alert: 'internal_error', meaning: 'the tenant is at its connection limit' },
  'tenant-rate-limit': { outcome: 'refused', alert: 'internal_error', meaning: 'the tenant’s connections come faster than it may' },
  'tenant-source-limit': { outcome: 'refused', alert: 'internal_error', meaning: 'the source is at its connection limit in the tenant' },
  'share-limit': { outcome: 'refused', alert: 'internal_error', meaning: 'the process is nearly full, and the tenant has more connections than the average' },
  'process-rate-limit': { outcome: 'refused', alert: 'internal_error', meaning: 'connections come faster than the process takes them; those of tenants with few go first' },

  // Dialling.
  'no-endpoint': { outcome: 'failed', alert: 'internal_error', meaning: 'every endpoint of the tenant has weight 0' },
  'closed-while-dialing': { outcome: 'failed', meaning: 'the client left while its API server was being dialled' },
  'dial-refused': { outcome: 'failed', alert: 'internal_error', meaning: 'every attempt failed; the last was refused' },
  'dial-timeout': { outcome: 'failed', alert: 'internal_error', meaning: 'every attempt failed; the last took longer than timeouts.connect' },
  'dial-unreachable': { outcome: 'failed', alert: 'internal_error', meaning: 'every attempt failed; the last did not get to its host' },
  'dial-error': { outcome: 'failed', alert: 'internal_error', meaning: 'every attempt failed; the last for a fault of this machine or its resolver' },
  'retry-budget': { outcome: 'failed', alert: 'internal_error', meaning: 'an attempt failed, and too many had been made again already: its tenant’s or the process’s budget of retries was spent' },
  'answer-timeout': { outcome: 'failed', alert: 'internal_error', meaning: 'every attempt failed; the last sent no byte of an answer within timeouts.answer' },
  'reset-before-answer': { outcome: 'failed', alert: 'internal_error', meaning: 'every attempt failed; the last was closed before its first byte' },
} as const satisfies Record<string, Termination>

export type TerminationReason = keyof typeof terminations

/** The table as its general type, for readers that look a reason up. */
export function terminationOf(reason: TerminationReason): Termination {
  return terminations[reason]
}
