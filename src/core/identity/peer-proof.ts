// How two gateways of one installation know each other: each has a key for as long as it runs, whose public half stands in the
// store, where nobody else writes. Both sign the connection's exporter value, so neither can be stood in for, whatever
// certificate TLS has shown.
//
// What is signed is that of a node (proof.ts) with a name that no node can have: which gateway proves itself to which.

import { proofBytes } from './proof.ts'

export interface GatewayIdentity {
  /** Of the process: another one with each start. */
  readonly id: string
  /** Raw Ed25519. */
  readonly publicKey: Uint8Array
}

export function peerProofBytes({ exporter, prover, verifier, role }: { readonly exporter: Uint8Array; readonly prover: GatewayIdentity; readonly verifier: string; readonly role: 'client' | 'server' }): Uint8Array {
  return proofBytes({ exporter, publicKey: prover.publicKey, nodeName: `${role}:${prover.id}>${verifier}` })
}
