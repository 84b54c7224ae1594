// `sluice check`: every mistake of a configuration, before a gateway sees it.

import { parseArgs } from 'node:util'
import { ConfigError, formatProblems } from '../config/config-error.ts'
import { loadConfig } from '../config/load.ts'
import type { CliIo } from './io.ts'

export const usage = `Usage: sluice check FILE

Reads a configuration as the gateway would, environment variables included, and prints every mistake with its line.

Exit codes: 0 the gateway would take it, 2 it has mistakes.

Example
  sluice check sluice.yaml && kill -HUP "$(pidof sluice)"
`

export async function check(args: readonly string[], io: CliIo): Promise<number> {
  const { positionals } = parseArgs({ args: [...args], allowPositionals: true, strict: true })
  const [file] = positionals
  if (file === undefined || positionals.length > 1) {
    io.stderr.write(`sluice check: one FILE is needed\n\n${usage}`)
    return 2
  }
  try {
    const { listeners, tenants } = loadConfig({ file, env: io.env })
    const hostnames = tenants.reduce((sum, tenant) => sum + tenant.hostnames.length, 0)
    io.stdout.write(`${file}: right; ${count(listeners.length, 'listener')}, ${count(tenants.length, 'tenant')}, ${count(hostnames, 'hostname')}\n`)
    return 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    io.stderr.write(formatProblems(error))
    return 2
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
