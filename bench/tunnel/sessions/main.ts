// npm run bench:sessions: from the command line to tables and an exit code.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeMachine } from '../../machine.ts'
import { OptionsError } from '../../options.ts'
import { handshakesPerSecond } from '../peers/sluice.ts'
import { parseSessionsOptions, type SessionsOptions, sessionsUsage } from './options.ts'
import { renderSessions } from './report.ts'
import { measureSessions } from './session.ts'

const resultsDirectory = fileURLToPath(new URL('../../results/', import.meta.url))

async function bench(options: SessionsOptions): Promise<number> {
  const startedAt = new Date().toISOString()
  const result = await measureSessions(options, tell)
  const facts = { machine: describeMachine(), handshakesPerSecond }
  const { jsonFile = `${resultsDirectory}sessions-${startedAt.slice(0, 19).replaceAll(':', '-')}.json` } = options
  mkdirSync(dirname(jsonFile), { recursive: true })
  writeFileSync(jsonFile, `${JSON.stringify({ startedAt, options, ...facts, ...result }, undefined, 2)}\n`)
  process.stdout.write(renderSessions(result, options, facts))
  tell(`\nwritten to ${jsonFile}`)
  return 0
}

/** The tables go to standard output, all else here. */
function tell(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseSessionsOptions(args)
    if (options !== undefined) return await bench(options)
    process.stdout.write(sessionsUsage)
    return 0
  } catch (error) {
    if (!(error instanceof Error)) throw error
    tell(`bench:sessions: ${error.message}${error instanceof OptionsError ? '\n--help tells more' : ''}`)
    return error instanceof OptionsError ? 2 : 1
  }
}

if (process.platform !== 'linux') {
  tell('bench:sessions: CPU and memory are read from /proc, so it takes Linux')
  process.exit(1)
}
// An exit runs the handlers that end processes and remove files.
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) process.once(signal, () => process.exit(code))
process.exitCode = await main(process.argv.slice(2))
