// Grants for the direct lane, of one process's secret.

import { issueGrant } from '../core/tunnel/ticket.ts'
import { hmacSha256 } from '../relay/tickets.ts'
import type { TunnelGatewayOptions } from '../tunnel/gateway/tunnel-gateway.ts'

/** @param secret undefined: there is no direct lane */
export function laneGrants(secret: Uint8Array | undefined): Pick<TunnelGatewayOptions, 'grant'> {
  return secret === undefined ? {} : { grant: ({ tenant, keyId }) => issueGrant({ tenant, identity: keyId, nowMs: Date.now() }, secret, hmacSha256) }
}
