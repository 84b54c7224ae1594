// What an agent shows when it asks for a session, read from its upgrade request and proved against its TLS connection.

import { createPublicKey, verify } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { KeyClaim, Refused } from '../../core/identity/admission.ts'
import { exporterBytes, exporterLabel, proofBytes, publicKeyBytes } from '../../core/identity/proof.ts'
import { namePattern } from '../../core/name.ts'

const malformed: Refused = { kind: 'refused', reason: 'malformed' }

/** Of the connection: `TLSSocket.exportKeyingMaterial`. */
export type Exporter = (bytes: number, label: string, context: Buffer) => Buffer

/** @returns the claim, whose key has signed this connection's exporter value; or why there is none */
export function provenClaim(headers: IncomingHttpHeaders, exporter: Exporter): KeyClaim | Refused {
  const nodeName = headers['sluice-node']
  const publicKey = bytesOf(headers['sluice-key'], publicKeyBytes)
  const proof = bytesOf(headers['sluice-proof'], 64)
  if (typeof nodeName !== 'string' || !namePattern.test(nodeName)) return malformed
  // What an agent that has a certificate sends, to a gateway that has not asked for it.
  if (headers['sluice-key'] === undefined && headers['sluice-proof'] === undefined) return { kind: 'refused', reason: 'certificate-missing' }
  if (publicKey === undefined || proof === undefined) return malformed
  const { authorization } = headers
  const tokenText = authorization === undefined ? undefined : /^Bearer (\S{1,400})$/.exec(authorization)?.[1]
  if (authorization !== undefined && tokenText === undefined) return malformed
  const signed = proofBytes({ exporter: exporter(exporterBytes, exporterLabel, Buffer.alloc(0)), publicKey, nodeName })
  const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: publicKey.toString('base64url') } })
  if (!verify(null, signed, key, proof)) return { kind: 'refused', reason: 'proof-wrong' }
  return { kind: 'key', nodeName, publicKey, ...(tokenText === undefined ? {} : { tokenText }) }
}

function bytesOf(text: string | readonly string[] | undefined, length: number): Buffer | undefined {
  if (typeof text !== 'string' || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length === length ? bytes : undefined
}
