// The processes of agents as the bench sees them: what all of them report is put together.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { AgentsReport, StartAgents } from './agents-protocol.ts'

export class AgentProcesses {
  readonly #children: readonly ChildProcess[]

  constructor(processes: number) {
    const file = fileURLToPath(new URL('agents.ts', import.meta.url))
    this.#children = Array.from({ length: processes }, () => fork(file, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }))
  }

  get pids(): readonly number[] {
    return this.#children.flatMap(({ pid }) => pid ?? [])
  }

  /** Spreads them over the processes. */
  start({ names, tokens, perSecond, ...rest }: Omit<StartAgents, 'kind'>): void {
    const { length } = this.#children
    const shareOf = (values: readonly string[], index: number): readonly string[] => values.filter((_value, each) => each % length === index)
    for (const [index, child] of this.#children.entries()) {
      child.send({ kind: 'start', ...rest, names: shareOf(names, index), tokens: shareOf(tokens, index), perSecond: perSecond / length } satisfies StartAgents)
    }
  }

  /** What has happened since the last report. */
  async report(): Promise<AgentsReport> {
    const reports = await Promise.all(this.#children.map(ask))
    return {
      up: reports.reduce((sum, { up }) => sum + up, 0),
      attemptsMs: reports.flatMap(({ attemptsMs }) => attemptsMs),
      upsMs: reports.flatMap(({ upsMs }) => upsMs),
      refusals: added(reports.map(({ refusals }) => refusals)),
      waits: added(reports.map(({ waits }) => waits)),
    }
  }

  stop(): void {
    for (const child of this.#children) if (child.connected) child.disconnect()
  }
}

export function added(counts: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {}
  for (const each of counts) for (const [what, count] of Object.entries(each)) sums[what] = (sums[what] ?? 0) + count
  return sums
}

async function ask(child: ChildProcess): Promise<AgentsReport> {
  const gone = new AbortController()
  const onExit = (code: number | null, signal: string | null): void => gone.abort(new Error(`a process of agents ended: ${code ?? signal}`))
  child.once('exit', onExit)
  try {
    child.send({ kind: 'report' })
    const [report] = await once(child, 'message', { signal: gone.signal }) as [AgentsReport]
    return report
  } catch (error) {
    throw gone.signal.aborted ? gone.signal.reason : error
  } finally {
    child.off('exit', onExit)
  }
}
