// The node's identity: an Ed25519 key that never leaves the machine, made at the first start.
//
//   STATE/node-key.pem     PKCS #8, mode 600

import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { linkSync, mkdirSync, openSync, readFileSync, rmSync, writeSync, fsyncSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../../core/error-code.ts'

export interface NodeKey {
  /** Raw, 32 bytes. */
  readonly publicKey: Buffer
  sign(bytes: Uint8Array): Buffer
}

/** The key's file is there and can't be used, or none can be made: the message says which and why. */
export class NodeKeyError extends Error {
  readonly code = 'NODE_KEY'
}

/**
 * The node's key, which is made where there is none.
 * @throws {NodeKeyError}
 */
export function loadNodeKey(directory: string): NodeKey {
  return withKeyFile(directory, (file) => {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    return keyOf(createPrivateKey(readOrCreate(file)))
  })
}

/**
 * @returns undefined where there is none
 * @throws {NodeKeyError}
 */
export function findNodeKey(directory: string): NodeKey | undefined {
  return withKeyFile(directory, (file) => {
    const pem = readIfThere(file)
    return pem === undefined ? undefined : keyOf(createPrivateKey(pem))
  })
}

export function nodeKeyFile(directory: string): string {
  return join(directory, 'node-key.pem')
}

function withKeyFile<Result>(directory: string, use: (file: string) => Result): Result {
  const file = nodeKeyFile(directory)
  try {
    return use(file)
  } catch (error) {
    throw new NodeKeyError(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

function keyOf(privateKey: KeyObject): NodeKey {
  if (privateKey.asymmetricKeyType !== 'ed25519') throw new Error(`a key of type ${privateKey.asymmetricKeyType}; expected ed25519`)
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' })
  return { publicKey: Buffer.from(x ?? '', 'base64url'), sign: (bytes) => sign(null, bytes, privateKey) }
}

/** Two agents that start at once get the same one. */
function readOrCreate(file: string): string {
  const found = readIfThere(file)
  if (found !== undefined) return found
  const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' })
  const draft = `${file}.${process.pid}`
  const descriptor = openSync(draft, 'wx', 0o600)
  try {
    writeSync(descriptor, pem)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  try {
    linkSync(draft, file)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  return readFileSync(file, 'utf8')
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
