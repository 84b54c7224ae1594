// What a gateway asks about a node that wants a session, and what it is told.

import type { IdentityRefusal, NodeRecord } from './join-token.ts'

export interface Claim {
  readonly nodeName: string
  /** Raw Ed25519. Whether its owner has the private key was checked before. */
  readonly publicKey: Uint8Array
  /** Of a join token; needed for a key that is not enrolled. */
  readonly tokenText?: string
}

export interface Node extends NodeRecord {
  readonly keyId: string
}

export type Admission =
  | { readonly kind: 'admitted'; readonly node: Node; readonly isNew: boolean }
  | { readonly kind: 'refused'; readonly reason: IdentityRefusal }
