// The command line of npm run bench:sessions.

import { number, valuesOf, whole } from '../../command-line.ts'

export interface SessionsOptions {
  readonly sessions: number
  /** That the agents are spread over. */
  readonly processes: number
  /** Agents begun in a second, the first time. */
  readonly enrolPerSecond: number
  /** The gateway's: no second may see more sessions begin. */
  readonly handshakesPerSecond: number
  /** For the CPU at rest. */
  readonly restMs: number
  /** For all sessions to be up, each time. */
  readonly timeoutMs: number
  readonly jsonFile?: string
}

const full = { sessions: '5000', processes: '2', rest: '30', timeout: '300' }
const tiny = { sessions: '20', processes: '2', rest: '0.2', timeout: '60' }

export const sessionsUsage = `Measures many agents' sessions on one gateway, on 127.0.0.1: memory, CPU at rest, and how they come back when the gateway is killed
and started again.

Usage: npm run bench:sessions -- [OPTIONS]

  --sessions N       agents with a key and a session each; under ulimit -n and the gateway's 20,000 [${full.sessions}]
  --processes N      that they are spread over [${full.processes}]
  --enrol-rate N     agents begun in a second, the first time [150]
  --handshake-rate N sessions begun in a second, at most: the gateway's tunnel.handshakesPerSecond, over which the bench fails [200]
  --rest SECONDS     of which CPU at rest is taken [${full.rest}]
  --timeout SECONDS  for all to be up [${full.timeout}]
  --tiny             does it run? The figures mean nothing
  --json FILE        [bench/results/sessions-TIME.json]
  --help

Exit codes: 0 measured · 1 something failed, or more sessions began in a second than may · 2 wrong options
`

/** @returns undefined when help is asked for. @throws {OptionsError} */
export function parseSessionsOptions(args: readonly string[]): SessionsOptions | undefined {
  const values = valuesOf(args, ['sessions', 'processes', 'enrol-rate', 'handshake-rate', 'rest', 'timeout', 'json'])
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  return {
    sessions: whole('sessions', values.sessions ?? defaults.sessions, { min: 1, max: 20_000 }),
    processes: whole('processes', values.processes ?? defaults.processes, { min: 1, max: 16 }),
    enrolPerSecond: whole('enrol-rate', values['enrol-rate'] ?? '150', { min: 1, max: 100_000 }),
    handshakesPerSecond: whole('handshake-rate', values['handshake-rate'] ?? '200', { min: 1, max: 100_000 }),
    restMs: 1000 * number('rest', values.rest ?? defaults.rest, { min: 0.05, max: 3600 }),
    timeoutMs: 1000 * number('timeout', values.timeout ?? defaults.timeout, { min: 1, max: 3600 }),
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
  }
}
