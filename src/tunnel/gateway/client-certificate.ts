// The certificate that an agent has shown in its TLS handshake, or in the one whose session it resumes: OpenSSL keeps it, and its
// verdict, in the ticket.

import type { IncomingHttpHeaders } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { CertificateClaim, Refused } from '../../core/identity/admission.ts'
import { nodeInCertificate } from '../../core/identity/certificate.ts'
import { certificateFacts } from '../certificate-facts.ts'

/** @returns undefined: none was shown. One that can't be used is a refusal, whatever else the agent shows */
export function certificateClaim(socket: TLSSocket, headers: IncomingHttpHeaders, nowMs: number): CertificateClaim | Refused | undefined {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return undefined
  const wrong = (detail: string): Refused => ({ kind: 'refused', reason: 'certificate-wrong', detail })
  if (!socket.authorized) return wrong(`it is not valid under clientCaFile: ${String(socket.authorizationError)}`)
  const facts = certificateFacts(certificate)
  const node = nodeInCertificate(facts, nowMs)
  if ('wrong' in node) return wrong(node.wrong)
  const called = headers['sluice-node']
  if (called !== undefined && called !== node.nodeName) return { kind: 'refused', reason: 'name-mismatch', detail: `the certificate is ${node.nodeName}’s` }
  return { kind: 'certificate', ...node, publicKey: certificate.publicKey.export({ type: 'spki', format: 'der' }), expiresAtMs: facts.validToMs }
}
