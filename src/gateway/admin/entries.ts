// Where the admin server listens, with what its files say.

import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { AdminConfig } from '../../config/config.ts'
import { tokenCharactersMin } from '../../config/schema.ts'
import type { AdminEntry } from '../../observe/admin/server.ts'
import { readPair } from '../tunnel-certificate.ts'

/** As it is in the header, with room for the others. */
const tokenCharactersMax = 4_096
/** RFC 6750, section 2.1. */
const tokenPattern = /^[A-Za-z0-9._~+/-]+=*$/

/** A file can't be read or used: the message names it, and never says what is in it. */
class TokenFileError extends Error {
  readonly code = 'TOKEN_FILE'
}

/**
 * @param folder that relative paths begin at
 * @throws {CertificateError | TokenFileError}
 */
export async function readAdminEntries({ address, socket, certificate, tokenFile }: AdminConfig, folder: string): Promise<readonly AdminEntry[]> {
  const tls = certificate === undefined ? undefined : await readPair('admin', certificate, folder)
  const token = tokenFile === undefined ? undefined : await readToken(tokenFile, folder)
  return [
    { kind: 'address', address, ...(tls === undefined ? {} : { tls }), ...(token === undefined ? {} : { token }) },
    ...(socket === undefined ? [] : [{ kind: 'socket', path: resolve(folder, socket) } as const]),
  ]
}

async function readToken(file: string, folder: string): Promise<string> {
  let text: string
  try {
    text = await readFile(resolve(folder, file), 'utf8')
  } catch (error) {
    throw new TokenFileError(`admin.tokenFile: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  const token = text.trim()
  if (token.length < tokenCharactersMin || token.length > tokenCharactersMax || !tokenPattern.test(token)) {
    throw new TokenFileError(`admin.tokenFile: ${file} has no token; expected one line of ${tokenCharactersMin} to ${tokenCharactersMax} letters, digits and ._~+/- (openssl rand -hex 32 makes one)`)
  }
  return token
}
