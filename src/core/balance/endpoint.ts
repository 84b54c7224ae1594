import { formatSocketAddress, type SocketAddress } from '../net/socket-address.ts'
import type { LaneGrant } from '../tunnel/ticket.ts'

/** One API server's address, `10.1.0.11:31443`. Weight 0 is quiesced: no new connections, old ones stay (IPVS). */
export interface Endpoint {
  /** `address:port`, IPv6 in brackets: the name in logs and the API. */
  readonly name: string
  /** An IP literal or a hostname. */
  readonly address: string
  readonly port: number
  /** 0 to 65,535. */
  readonly weight: number
  /** In tables that are kept by endpoint (endpoint-rows.ts); absent: nobody counts its connections. */
  readonly row?: number
  /** A gateway that lets an agent's connections through by ticket: what to make them of. */
  readonly grant?: EndpointGrant
}

export interface EndpointGrant extends LaneGrant {
  /** The gateway's clock less this machine's, in milliseconds. */
  readonly clockOffsetMs: number
}

/** As the configuration has it. */
export function endpointAt(at: SocketAddress, weight: number): Endpoint {
  return { name: formatSocketAddress(at), address: at.address, port: at.port, weight }
}
