// What a gateway asks about a node that wants a session, and what it is told.

import type { IdentityRefusal, NodeRecord } from './join-token.ts'

/** Whether its owner has the private key was checked before. */
export type Claim = KeyClaim | CertificateClaim

export interface KeyClaim {
  readonly kind: 'key'
  readonly nodeName: string
  /** Raw Ed25519. */
  readonly publicKey: Uint8Array
  /** Of a join token; needed for a key that is not enrolled. */
  readonly tokenText?: string
}

/** Of a certificate that is valid under the authority of agents: it needs no token. */
export interface CertificateClaim {
  readonly kind: 'certificate'
  readonly tenant: string
  readonly nodeName: string
  /** SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7). */
  readonly publicKey: Uint8Array
  /** Since 1970. */
  readonly expiresAtMs: number
}

export interface Node extends NodeRecord {
  readonly keyId: string
}

export type Admission =
  | { readonly kind: 'admitted'; readonly node: Node; readonly isNew: boolean }
  | Refused

export interface Refused {
  readonly kind: 'refused'
  readonly reason: IdentityRefusal
  /** For the log, where the reason alone does not say what is wrong. No secret. */
  readonly detail?: string
}
