// How a node shows who it is: by a key of its own, or by a certificate that the gateway's operator has had signed.

import type { TLSSocket } from 'node:tls'
import { exporterBytes, exporterLabel, proofBytes } from '../../core/identity/proof.ts'
import type { NodeKey } from './node-key.ts'
import { DialError } from '../open-connection.ts'

/** In PEM. */
export interface ClientCertificate {
  readonly certPem: string
  readonly keyPem: string
}

export type Credentials =
  /** @property token read at each try: it may come later, or change. Undefined: there is none. */
  | { readonly kind: 'key'; readonly key: NodeKey; readonly token: () => string | undefined }
  /** @property read at each try, since certificates are renewed. @throws where it can't be used: the message says why */
  | { readonly kind: 'certificate'; readonly read: () => ClientCertificate }

/**
 * @returns what is shown in the TLS handshake; undefined: nothing
 * @throws {DialError}
 */
export function certificateIn(credentials: Credentials): ClientCertificate | undefined {
  if (credentials.kind === 'key') return undefined
  try {
    return credentials.read()
  } catch (error) {
    throw new DialError('tls', error instanceof Error ? error.message : String(error))
  }
}

/** What is shown with the upgrade. */
export function upgradeHeaders(credentials: Credentials, node: string, tls: TLSSocket): Readonly<Record<string, string>> {
  if (credentials.kind === 'certificate') return { 'Sluice-Node': node }
  const { key, token } = credentials
  const exporter = tls.exportKeyingMaterial(exporterBytes, exporterLabel, Buffer.alloc(0))
  const proof = key.sign(proofBytes({ exporter, publicKey: key.publicKey, nodeName: node }))
  const tokenText = token()
  return {
    'Sluice-Node': node, 'Sluice-Key': key.publicKey.toString('base64url'), 'Sluice-Proof': proof.toString('base64url'),
    ...(tokenText === undefined ? {} : { Authorization: `Bearer ${tokenText}` }),
  }
}
