// From the sessions to the tables that are printed. Pure.

import type { Machine } from '../../machine.ts'
import { row } from '../../report.ts'
import type { SessionsOptions } from './options.ts'
import type { SessionsResult, Storm } from './session.ts'

/** @returns Markdown, a line a line */
export function renderSessions(result: SessionsResult, { sessions, processes, restMs, handshakesPerSecond }: SessionsOptions, machine: Machine): string {
  const { emptyMib, fullMib, kibPerSession, agentsKibPerSession, restCpuPercent, afterRestartMib, enrolment, restart } = result
  return `# ${count(sessions)} agents on one gateway

${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, ${machine.kernel}, Node ${machine.node}. Loopback; the agents are in ${processes} processes on the same machine.

${row(['gateway', ''])}
|---|--:|
${row(['memory without a session, MiB', emptyMib.toFixed(1)])}
${row([`memory with ${count(sessions)}, MiB`, fullMib.toFixed(1)])}
${row(['memory of a session, KiB', kibPerSession.toFixed(1)])}
${row(['memory of an agent’s session at the agents, KiB', agentsKibPerSession.toFixed(1)])}
${row([`CPU at rest, % of a core over ${restMs / 1000} s`, restCpuPercent.toFixed(1)])}
${row(['memory when all are back after its restart, MiB', afterRestartMib.toFixed(1)])}

${row(['', 'gateway ready, s', 'all up, s', `sessions begun in any second at the gateway, at most (${handshakesPerSecond} configured)`, 'connections tried in any second, at most', 'tried', 'refused', 'why agents waited'])}
|---|--:|--:|--:|--:|--:|--:|---|
${stormRow('enrolment', enrolment)}
${stormRow('restart by SIGKILL', restart)}
`
}

function stormRow(title: string, { readyMs, allUpMs, sessionsInASecondMax, attemptsInASecondMax, attempts, refusals, waits }: Storm): string {
  const refused = Object.values(refusals).reduce((sum, each) => sum + each, 0)
  const reasons = Object.entries(waits).toSorted(([, one], [, other]) => other - one).map(([why, times]) => `${count(times)} × ${why}`)
  return row([
    title, readyMs === 0 ? '–' : seconds(readyMs), seconds(allUpMs), count(sessionsInASecondMax), count(attemptsInASecondMax), count(attempts), count(refused), reasons.join('; '),
  ])
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1)
}

function count(value: number): string {
  return value.toLocaleString('en')
}
