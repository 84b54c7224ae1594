// npm run bench:traefik [-- FOLDER]: builds the program of main.go into .cache/, if it is not there. Modules come through Go's own module proxy, as
// the settings of `go env` have it, into Go's own cache; nothing of Traefik is copied into the work tree.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { findExecutable } from '../peer.ts'
import { moduleDirectory, traefikBuild } from './build.ts'

const progressIntervalMs = 10_000
const reasonCharactersMax = 300
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
  const { code, lines } = await build(go, partial)
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

/** With `-v` Go names each package that it compiles, on stderr, as it does each module that it fetches. */
async function build(go: string, output: string): Promise<{ code: unknown, lines: readonly string[] }> {
  const startedMs = performance.now()
  // As Traefik is released: without C. -mod=readonly: go.mod and go.sum are the committed ones.
  const child = spawn(go, ['build', '-v', '-mod=readonly', '-trimpath', '-ldflags=-s -w', '-o', output, '.'], {
    cwd: moduleDirectory,
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  process.once('exit', () => child.kill())
  const lines: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line))
  const progress = setInterval(() => {
    tell(`  ${Math.round((performance.now() - startedMs) / 1000)} s, ${lines.length} modules and packages, now ${lines.at(-1) ?? 'looking'}`)
  }, progressIntervalMs)
  try {
    const code = await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    return { code, lines }
  } finally {
    clearInterval(progress)
  }
}

/** The first line that is neither a package's name nor progress. */
function reasonIn(lines: readonly string[]): string {
  const reason = lines.find((line) => line.includes(' ') && !/^(?:#|go: downloading) /.test(line))
  return (reason ?? lines.at(-1) ?? 'Go says nothing').trim().slice(0, reasonCharactersMax)
}

function tell(text: string): void {
  process.stderr.write(`${text}\n`)
}

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) process.once(signal, () => process.exit(code))
process.exitCode = await main(process.argv[2])
