// Gateways' proofs on TLS connections between them (core/identity/peer-proof.ts), made and checked.

import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify, type KeyObject } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { peerProofBytes, type GatewayIdentity } from '../../core/identity/peer-proof.ts'
import { exporterBytes, exporterLabel } from '../../core/identity/proof.ts'

/** This gateway. It can be cloned between threads. */
export interface OwnIdentity extends GatewayIdentity {
  readonly privateKey: KeyObject
}

/** Another one with each start, and so another id. */
export function createIdentity(): OwnIdentity {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { id: randomBytes(8).toString('hex'), publicKey: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'), privateKey }
}

export type Role = 'client' | 'server'

/** In base64url. @param verifier the other gateway's id */
export function provePeer(tls: TLSSocket, own: OwnIdentity, verifier: string, role: Role): string {
  return sign(null, peerProofBytes({ exporter: exporterOf(tls), prover: own, verifier, role }), own.privateKey).toString('base64url')
}

/** @param prover as the store has it */
export function isProven(tls: TLSSocket, { proof, prover, verifier, role }: { readonly proof: string | readonly string[] | undefined; readonly prover: GatewayIdentity; readonly verifier: string; readonly role: Role }): boolean {
  if (typeof proof !== 'string' || !/^[A-Za-z0-9_-]{86}$/.test(proof)) return false
  const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(prover.publicKey).toString('base64url') } })
  return verify(null, peerProofBytes({ exporter: exporterOf(tls), prover, verifier, role }), key, Buffer.from(proof, 'base64url'))
}

function exporterOf(tls: TLSSocket): Buffer {
  return tls.exportKeyingMaterial(exporterBytes, exporterLabel, Buffer.alloc(0))
}
