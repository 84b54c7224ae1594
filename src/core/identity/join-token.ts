// Join tokens: what lets a new node in, once or so many times, for one tenant and for a while.
//
//   sluice1.<tenant>.<id>.<secret>     id: 16 hex digits, public · secret: 32 random bytes in base64url
//
// Version 0.1 made them without a tenant. The tenant says where the token is kept; what it is good for is what is kept there.
//
// Of the secret only the SHA-256 is kept: 256 random bits need no slower hash.

import { namePattern } from '../name.ts'

export interface JoinToken {
  /** Absent in one of version 0.1. */
  readonly tenant?: string
  readonly id: string
  readonly secret: string
}

/** As it is stored; times since the epoch. */
export interface TokenRecord {
  readonly tenant: string
  /** Of the secret's text, in hex. */
  readonly secretSha256: string
  readonly createdAtMs: number
  readonly expiresAtMs: number
  /** Nodes that may enrol with it. */
  readonly usesMax: number
  /** Key ids of those that have. */
  readonly usedBy: readonly string[]
  readonly revokedAtMs?: number
}

/** As it is stored; times since the epoch. */
export interface NodeRecord {
  readonly tenant: string
  readonly name: string
  /** In base64url: raw Ed25519, or, of a certificate, its SubjectPublicKeyInfo in DER. */
  readonly publicKey: string
  readonly enrolledAtMs: number
  /** The token's id, or `certificate`. */
  readonly enrolledBy: string
  /** Of the certificate that it enrolled with. */
  readonly certificateExpiresAtMs?: number
  readonly revokedAtMs?: number
}

const tokenText = /^sluice1\.(?:([a-z0-9.-]{1,253})\.)?([0-9a-f]{16})\.([A-Za-z0-9_-]{43})$/

/** @returns undefined for what is no token */
export function parseJoinToken(text: string): JoinToken | undefined {
  const [, tenant, id, secret] = tokenText.exec(text) ?? []
  if (id === undefined || secret === undefined || (tenant !== undefined && !namePattern.test(tenant))) return undefined
  return { ...(tenant === undefined ? {} : { tenant }), id, secret }
}

export function formatJoinToken({ tenant, id, secret }: Required<JoinToken>): string {
  return `sluice1.${tenant}.${id}.${secret}`
}

/** Why a session is refused: for the answer, the log and the metric. */
export type IdentityRefusal =
  | 'malformed'
  | 'proof-wrong'
  | 'certificate-missing'
  | 'certificate-wrong'
  | 'node-unknown'
  | 'node-revoked'
  | 'name-mismatch'
  | 'token-unknown'
  | 'token-expired'
  | 'token-used-up'
  | 'token-revoked'
  | 'too-many-nodes'

/**
 * Whether a key may enrol with a token.
 * @param secretMatches compared by the caller, in constant time
 * @returns undefined: it may; `used-already`: it has, and takes no second use
 */
export function tokenVerdict(
  token: TokenRecord | undefined,
  { keyId, secretMatches, nowMs }: { readonly keyId: string; readonly secretMatches: boolean; readonly nowMs: number },
): IdentityRefusal | 'used-already' | undefined {
  // A wrong secret says no more than a wrong id.
  if (token === undefined || !secretMatches) return 'token-unknown'
  if (token.revokedAtMs !== undefined) return 'token-revoked'
  if (nowMs >= token.expiresAtMs) return 'token-expired'
  if (token.usedBy.includes(keyId)) return 'used-already'
  return token.usedBy.length >= token.usesMax ? 'token-used-up' : undefined
}
