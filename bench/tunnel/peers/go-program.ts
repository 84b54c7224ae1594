// Programs that `npm run bench:tunnel:peers` builds from Go modules, unchanged, at the versions of the go.mod of ours that
// names them:
//
//   .cache/bench/NAME-HASH-linux-x64            the executable; renamed into place when it is whole
//   .cache/bench/NAME-HASH-linux-x64.failure    why the last try failed, in a line
//
// HASH is that of go.mod and go.sum, which pins each module's content: another text is another executable.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { goBuild, reasonIn } from '../../peers/go-build.ts'
import { findExecutable } from '../../peers/peer.ts'

const buildCommand = 'npm run bench:tunnel:peers'
const cacheDirectory = fileURLToPath(new URL('../../../.cache/bench', import.meta.url))

export interface GoProgram {
  /** `konnectivity-server` */
  readonly name: string
  /** Beside this file: where its go.mod is. */
  readonly folder: string
  /** Import path of its main. */
  readonly package_: string
  readonly tags?: string
}

/** @returns its executable and version, or why it is not there */
export function findGoProgram(program: GoProgram): { readonly executable: string, readonly version: string } | string {
  const { executable, failureFile } = placeOf(program)
  if (existsSync(executable)) return { executable, version: versionOf(program) }
  if (existsSync(failureFile)) return `${buildCommand} has failed: ${readFileSync(failureFile, 'utf8')}`
  return findExecutable('go') === undefined ? `not built, and there is no Go for ${buildCommand}` : `not built: ${buildCommand}`
}

/** @returns whether it is there now */
export async function buildGoProgram(program: GoProgram, tell: (line: string) => void): Promise<boolean> {
  const { executable, failureFile } = placeOf(program)
  const title = `${program.name} ${versionOf(program)}`
  if (existsSync(executable)) {
    tell(`${title} is there: ${executable}`)
    return true
  }
  const go = findExecutable('go')
  if (go === undefined) {
    tell(`${title} takes Go to build, as \`go\` on the PATH`)
    return false
  }
  tell(`${title}: building`)
  mkdirSync(dirname(executable), { recursive: true })
  const partial = `${executable}.${process.pid}`
  const { package_, tags } = program
  const { code, lines } = await goBuild({ go, moduleDirectory: moduleDirectory(program), package_, output: partial, progress: (line) => tell(`  ${line}`), ...(tags === undefined ? {} : { tags }) })
  if (code !== 0) {
    writeFileSync(failureFile, reasonIn(lines))
    tell(`${title} does not build here: ${reasonIn(lines)}`)
    return false
  }
  renameSync(partial, executable)
  rmSync(failureFile, { force: true })
  tell(`${title} is built: ${executable}`)
  return true
}

function moduleDirectory({ folder }: GoProgram): string {
  return fileURLToPath(new URL(`${folder}/`, import.meta.url))
}

function placeOf(program: GoProgram): { readonly executable: string, readonly failureFile: string } {
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'go.sum']) hash.update(`${file}\0`).update(readFileSync(`${moduleDirectory(program)}${file}`)).update('\0')
  const executable = `${cacheDirectory}/${program.name}-${hash.digest('hex').slice(0, 16)}-${process.platform}-${process.arch}`
  return { executable, failureFile: `${executable}.failure` }
}

/** Of the module that its main is in. */
function versionOf(program: GoProgram): string {
  const modules = readFileSync(`${moduleDirectory(program)}go.mod`, 'utf8').matchAll(/^(?:require |\t)(\S+) v(\S+)/gm)
  for (const [, path = '', version = ''] of modules) if (program.package_ === path || program.package_.startsWith(`${path}/`)) return version
  return 'unknown'
}
