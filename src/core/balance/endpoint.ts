/** One API server's address, `10.1.0.11:31443`. Weight 0 is quiesced: no new connections, old ones stay (IPVS). */
export interface Endpoint {
  /** `address:port`, IPv6 in brackets: the name in logs and the API. */
  readonly name: string
  /** An IP literal or a hostname. */
  readonly address: string
  readonly port: number
  readonly weight: number
}
