// Builds a program with Go. Modules come through Go's own module proxy, as the settings of `go env` have it, into Go's own cache;
// nothing of theirs is copied into the work tree.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const progressIntervalMs = 10_000
const reasonCharactersMax = 300

export interface GoBuildOptions {
  /** The executable, as a path. */
  readonly go: string
  /** The folder of go.mod, which is committed as it is used. */
  readonly moduleDirectory: string
  /** `.`, or an import path of what go.mod requires. */
  readonly package_: string
  readonly output: string
  readonly tags?: string
  /** How far it is, now and then. */
  readonly progress: (line: string) => void
}

/**
 * With `-v` Go names each package that it compiles, on stderr, as it does each module that it fetches.
 * @returns what it said; code 0: the output is there
 */
export async function goBuild({ go, moduleDirectory, package_, output, tags = '', progress }: GoBuildOptions): Promise<{ code: unknown, lines: readonly string[] }> {
  const startedMs = performance.now()
  // Without C, as these are released. -mod=readonly: go.mod and go.sum are the committed ones.
  const child = spawn(go, ['build', '-v', '-mod=readonly', '-trimpath', '-tags', tags, '-ldflags=-s -w', '-o', output, package_], {
    cwd: moduleDirectory,
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const kill = (): void => {
    child.kill()
  }
  process.once('exit', kill)
  const lines: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line))
  const timer = setInterval(() => {
    progress(`${Math.round((performance.now() - startedMs) / 1000)} s, ${lines.length} modules and packages, now ${lines.at(-1) ?? 'looking'}`)
  }, progressIntervalMs)
  try {
    const code = await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    return { code, lines }
  } finally {
    clearInterval(timer)
    process.off('exit', kill)
  }
}

/** @returns the first line that is neither a package's name nor progress */
export function reasonIn(lines: readonly string[]): string {
  const reason = lines.find((line) => line.includes(' ') && !/^(?:#|go: downloading) /.test(line))
  return (reason ?? lines.at(-1) ?? 'Go says nothing').trim().slice(0, reasonCharactersMax)
}
