// What node reads of a certificate, as core/identity/certificate.ts judges it.

import type { X509Certificate } from 'node:crypto'
import type { CertificateFacts } from '../core/identity/certificate.ts'

export function certificateFacts(certificate: X509Certificate): CertificateFacts {
  const { O: organization, CN: commonName } = certificate.toLegacyObject().subject
  return {
    organizations: listOf(organization), commonNames: listOf(commonName),
    // Named so, they are those of the extension extendedKeyUsage.
    extendedKeyUsages: certificate.keyUsage ?? [],
    validFromMs: certificate.validFromDate.getTime(), validToMs: certificate.validToDate.getTime(),
  }
}

/** An attribute that comes more than once is a list. */
function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : value
}
