// Runs a command as the command line would, and catches what it writes.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { CliIo } from '../../src/cli/io.ts'

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export async function run(command: (args: readonly string[], io: CliIo) => Promise<number>, ...args: string[]): Promise<Outcome> {
  let [stdout, stderr] = ['', '']
  const code = await command(args, {
    stdout: { write: (text) => (stdout += text) }, stderr: { write: (text) => (stderr += text) }, env: {},
  })
  return { code, stdout, stderr }
}

export function fileWith(t: Test, text: string): string {
  const directory = t.testdir()
  const file = join(directory, 'sluice.yaml')
  writeFileSync(file, text)
  return file
}
