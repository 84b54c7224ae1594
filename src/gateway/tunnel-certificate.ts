// The files of the tunnel's TLS server: its certificate, and the authorities of its agents' certificates.

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { TunnelConfig } from '../config/config.ts'
import type { Certificate } from '../tunnel/gateway/tunnel-gateway.ts'

/** A file can't be read or used: the message names it. */
class CertificateError extends Error {
  readonly code = 'CERTIFICATE'
}

/**
 * @param folder that relative paths begin at
 * @throws {CertificateError}
 */
export async function readCertificate({ certificate: { certFile, keyFile }, clientCaFile }: TunnelConfig, folder: string): Promise<Certificate> {
  const read = async (key: string, file: string): Promise<string> => {
    try {
      return await readFile(resolve(folder, file), 'utf8')
    } catch (error) {
      throw new CertificateError(`tunnel.${key}: ${reasonOf(error)}`, { cause: error })
    }
  }
  const certificate = { certPem: await read('certificate.certFile', certFile), keyPem: await read('certificate.keyFile', keyFile) }
  try {
    createSecureContext({ cert: certificate.certPem, key: certificate.keyPem })
  } catch (error) {
    throw new CertificateError(`tunnel.certificate: ${certFile} and ${keyFile} can't be used: ${reasonOf(error)}`, { cause: error })
  }
  if (clientCaFile === undefined) return certificate
  const clientCaPem = await read('clientCaFile', clientCaFile)
  checkAuthorities(clientCaPem, clientCaFile)
  return { ...certificate, clientCaPem }
}

/** OpenSSL takes a file without certificates in silence. */
function checkAuthorities(pem: string, file: string): void {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new CertificateError(`tunnel.clientCaFile: ${file} has no certificate; expected authorities in PEM`)
  for (const [index, block] of blocks.entries()) {
    const place = `tunnel.clientCaFile: ${file}, certificate ${index + 1}`
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(block)
    } catch (error) {
      throw new CertificateError(`${place} can't be read: ${reasonOf(error)}`, { cause: error })
    }
    if (!certificate.ca) throw new CertificateError(`${place} is no authority’s: ${certificate.subject.replaceAll('\n', ', ')}`)
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
