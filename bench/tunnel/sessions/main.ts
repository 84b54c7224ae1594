// npm run bench:sessions: from the command line to tables and an exit code.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCommand, tell } from '../../command.ts'
import { describeMachine } from '../../machine.ts'
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
  const facts = { machine: describeMachine() }
  const { jsonFile = `${resultsDirectory}sessions-${startedAt.slice(0, 19).replaceAll(':', '-')}.json` } = options
  mkdirSync(dirname(jsonFile), { recursive: true })
  writeFileSync(jsonFile, `${JSON.stringify({ startedAt, options, ...facts, ...result }, undefined, 2)}\n`)
  process.stdout.write(renderSessions(result, options, facts.machine))
  tell(`\nwritten to ${jsonFile}`)
  const most = Math.max(result.enrolment.sessionsInASecondMax, result.restart.sessionsInASecondMax)
  if (most <= options.handshakesPerSecond) return 0
  tell(`bench:sessions: ${most} sessions began within one second; expected ${options.handshakesPerSecond} at most`)
  return 1
}

await runCommand({ name: 'bench:sessions', parse: parseSessionsOptions, usage: sessionsUsage, run: bench })
