// Files that an agent's configuration names. Relative paths begin at the configuration file; no error repeats what is in one.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { CertificateConfig, ProxyConfig } from '../../config/agent-schema.ts'
import type { ClientCertificate } from '../../tunnel/agent/credentials.ts'
import type { HttpProxy } from '../../tunnel/agent/http-proxy.ts'

/** A file that the configuration names can't be used. The message begins with its key. */
export class FileError extends Error {
  readonly code = 'FILE'
}

/** @throws {FileError} */
export function readRequired(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new FileError(`${key}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** @throws {FileError} */
export function httpProxy({ url, credentialsFile, caFile }: ProxyConfig, folder: string): HttpProxy {
  const credentials = (): string | undefined => credentialsFile === undefined ? undefined : readCredentials(resolve(folder, credentialsFile))
  // What is wrong from the start is told at the start; later ones are read at each try.
  credentials()
  return { url, credentials, caPem: caFile === undefined ? undefined : readRequired('proxy.caFile', resolve(folder, caFile)) }
}

/**
 * What is wrong from the start is told at the start; renewed ones are read at each try.
 * @returns what reads them; it throws a FileError too
 * @throws {FileError}
 */
export function clientCertificate({ certFile, keyFile }: CertificateConfig, folder: string): () => ClientCertificate {
  const read = (): ClientCertificate => {
    const certificate = { certPem: readRequired('certificate.certFile', resolve(folder, certFile)), keyPem: readRequired('certificate.keyFile', resolve(folder, keyFile)) }
    try {
      createSecureContext({ cert: certificate.certPem, key: certificate.keyPem })
    } catch (error) {
      throw new FileError(`certificate: ${certFile} and ${keyFile} can't be used: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
    return certificate
  }
  read()
  return read
}

/** @throws {FileError} */
function readCredentials(file: string): string {
  const text = readRequired('proxy.credentialsFile', file).replace(/\r?\n$/, '')
  // RFC 7617 §2: the user has no colon; neither has control characters.
  if (!/^[^:\p{Cc}]+:\P{Cc}*$/u.test(text)) throw new FileError(`proxy.credentialsFile: ${file} must hold one line, USER:PASSWORD, and nothing else`)
  return text
}
