// The files of TLS servers, the tunnel's and the egress's: their certificates, and the authorities of their clients' certificates.

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { EgressConfig, TunnelConfig } from '../config/config.ts'
import type { EgressEntry } from '../tunnel/egress/egress-server.ts'
import type { Certificate } from '../tunnel/gateway/tunnel-gateway.ts'

/** A file can't be read or used: the message names it. */
class CertificateError extends Error {
  readonly code = 'CERTIFICATE'
}

/**
 * @param folder that relative paths begin at
 * @throws {CertificateError}
 */
export async function readCertificate({ certificate, clientCaFile }: TunnelConfig, folder: string): Promise<Certificate> {
  const read = await readPair('tunnel', certificate, folder)
  return clientCaFile === undefined ? read : { ...read, clientCaPem: await readAuthorities('tunnel.clientCaFile', clientCaFile, folder) }
}

/**
 * @param folder that relative paths begin at
 * @throws {CertificateError}
 */
export async function readEgress(entries: readonly EgressConfig[], folder: string): Promise<readonly EgressEntry[]> {
  return await Promise.all(entries.map(async (entry, index): Promise<EgressEntry> => {
    if (entry.kind === 'socket') return { ...entry, path: resolve(folder, entry.path) }
    const { address, certificate, clientCaFile } = entry
    const place = `egress[${index}]`
    return { kind: 'tls', address, ...await readPair(place, certificate, folder), clientCaPem: await readAuthorities(`${place}.clientCaFile`, clientCaFile, folder) }
  }))
}

/** @throws {CertificateError} */
export async function readPair(place: string, { certFile, keyFile }: TunnelConfig['certificate'], folder: string): Promise<{ readonly certPem: string; readonly keyPem: string }> {
  const certPem = await read(`${place}.certificate.certFile`, certFile, folder)
  const keyPem = await read(`${place}.certificate.keyFile`, keyFile, folder)
  try {
    createSecureContext({ cert: certPem, key: keyPem })
  } catch (error) {
    throw new CertificateError(`${place}.certificate: ${certFile} and ${keyFile} can't be used: ${reasonOf(error)}`, { cause: error })
  }
  return { certPem, keyPem }
}

async function readAuthorities(key: string, file: string, folder: string): Promise<string> {
  const pem = await read(key, file, folder)
  checkAuthorities(pem, key, file)
  return pem
}

async function read(key: string, file: string, folder: string): Promise<string> {
  try {
    return await readFile(resolve(folder, file), 'utf8')
  } catch (error) {
    throw new CertificateError(`${key}: ${reasonOf(error)}`, { cause: error })
  }
}

/** OpenSSL takes a file without certificates in silence. */
function checkAuthorities(pem: string, key: string, file: string): void {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new CertificateError(`${key}: ${file} has no certificate; expected authorities in PEM`)
  for (const [index, block] of blocks.entries()) {
    const place = `${key}: ${file}, certificate ${index + 1}`
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
