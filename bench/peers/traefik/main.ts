// npm run bench:traefik [-- FOLDER]: builds the program of main.go into .cache/, if it is not there. Modules come through Go's own module proxy, as
// the settings of `go env` have it, into Go's own cache; nothing of Traefik is copied into the work tree.

import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { exitOnSignals, tell } from '../../command.ts'
import { goBuild, reasonIn } from '../go-build.ts'
import { findExecutable } from '../peer.ts'
import { moduleDirectory, traefikBuild } from './build.ts'

const tailLines = 20

async function main(folder?: string): Promise<number> {
  const { version, executable, failureFile } = traefikBuild(folder)
  if (existsSync(executable)) {
    tell(`Traefik ${version} is there: ${executable}`)
    return 0
  }
  const go = findExecutable('go')
  if (go === undefined) {
    tell('Traefik takes Go to build, as `go` on the PATH')
    return 1
  }
  tell(`Traefik ${version}: building its TCP router (the first time minutes, and some hundred MB of modules in Go's cache)`)
  mkdirSync(dirname(executable), { recursive: true })
  const partial = `${executable}.${process.pid}`
  const { code, lines } = await goBuild({ go, moduleDirectory, package_: '.', output: partial, progress: (line) => tell(`  ${line}`) })
  if (code !== 0) {
    const reason = reasonIn(lines)
    writeFileSync(failureFile, reason)
    tell(`${lines.slice(-tailLines).join('\n')}\nTraefik ${version} does not build here: ${reason}`)
    return 1
  }
  renameSync(partial, executable)
  rmSync(failureFile, { force: true })
  tell(`Traefik ${version} is built: ${executable}`)
  return 0
}

exitOnSignals()
process.exitCode = await main(process.argv[2])
