// npm run bench:sessions: from the command line to tables and an exit code.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCommand, tell } from '../../command.ts'
import { describeMachine } from '../../machine.ts'
import { handshakesPerSecond } from '../peers/sluice.ts'
import { parseSessionsOptions, type SessionsOptions, sessionsUsage } from './options.ts'
import { renderSessions } from './report.ts'
import { measureSessions, type SessionsResult } from './session.ts'

const resultsDirectory = fileURLToPath(new URL('../../results/', import.meta.url))

async function bench(options: SessionsOptions): Promise<number> {
  const startedAt = new Date().toISOString()
  let result: SessionsResult
  try {
    result = await measureSessions(options, tell)
  } catch (error) {
    tell(`bench:sessions: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
  const facts = { machine: describeMachine(), handshakesPerSecond }
  const { jsonFile = `${resultsDirectory}sessions-${startedAt.slice(0, 19).replaceAll(':', '-')}.json` } = options
  mkdirSync(dirname(jsonFile), { recursive: true })
  writeFileSync(jsonFile, `${JSON.stringify({ startedAt, options, ...facts, ...result }, undefined, 2)}\n`)
  process.stdout.write(renderSessions(result, options, facts))
  tell(`\nwritten to ${jsonFile}`)
  return 0
}

await runCommand({ name: 'bench:sessions', parse: parseSessionsOptions, usage: sessionsUsage, run: bench })
