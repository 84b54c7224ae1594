// Where the program of traefik/main.go is when it is built, and why not when it is not:
//
//   .cache/bench/traefik-HASH-linux-x64          the executable; renamed into place when it is whole
//   .cache/bench/traefik-HASH-linux-x64.failure  why the last try failed, in a line
//
// HASH is that of the Go files, go.sum among them, which pins each module's content: another text is another executable.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { versionIn } from '../peer.ts'

/** The Go module of ours. */
export const moduleDirectory = fileURLToPath(new URL('.', import.meta.url))
export const buildCommand = 'npm run bench:traefik'
const ownCacheDirectory = fileURLToPath(new URL('../../../.cache/bench', import.meta.url))
const sourceFiles = ['go.mod', 'go.sum', 'main.go', 'ext/go.mod', 'ext/ext.go']

export interface TraefikBuild {
  /** Traefik's. */
  readonly version: string
  readonly executable: string
  readonly failureFile: string
}

export function traefikBuild(cacheDirectory = ownCacheDirectory): TraefikBuild {
  const hash = createHash('sha256')
  for (const file of sourceFiles) hash.update(`${file}\0`).update(readFileSync(`${moduleDirectory}${file}`)).update('\0')
  const executable = `${cacheDirectory}/traefik-${hash.digest('hex').slice(0, 16)}-${process.platform}-${process.arch}`
  const [required = ''] = /github\.com\/traefik\/traefik\/v3 v.*/.exec(readFileSync(`${moduleDirectory}go.mod`, 'utf8')) ?? []
  return { version: versionIn(required), executable, failureFile: `${executable}.failure` }
}

/** @returns undefined unless the last try failed */
export function failureOf({ failureFile }: TraefikBuild): string | undefined {
  return existsSync(failureFile) ? readFileSync(failureFile, 'utf8') : undefined
}
