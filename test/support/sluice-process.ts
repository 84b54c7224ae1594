// `sluice` as a process, with all that it writes.

import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))

export interface Process {
  readonly child: ChildProcess
  /** Standard output and error. */
  readonly output: () => string
  readonly exitCode: Promise<number | null>
}

/** @param env its whole environment */
export function sluice(t: Test, args: readonly string[], env: Readonly<Record<string, string>> = {}): Process {
  return started(t, spawn(process.execPath, [mainFile, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] }))
}

export function started(t: Test, child: ChildProcessByStdio<null, Readable, Readable>): Process {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  t.teardown(() => {
    child.kill('SIGKILL')
  })
  return { child, output: () => output, exitCode: once(child, 'close').then(([code]: (number | null)[]) => code ?? null) }
}
