// From the figures to the tables that are printed. Pure.

import type { Machine } from '../machine.ts'
import { row } from '../report.ts'
import type { CheckCost } from './cost.ts'
import type { NodeDeath } from './node-dies.ts'
import type { HealthOptions } from './options.ts'

/** @returns Markdown, a line a line */
export function renderHealth({ costs, deaths }: { readonly costs: readonly CheckCost[]; readonly deaths: readonly NodeDeath[] }, { intervalMs, seconds, tenants, nodes, ports }: HealthOptions, machine: Machine): string {
  return `# Health

${machine.cores} cores (${machine.cpu}), ${machine.kernel}, Node ${machine.node}.

A process that only checks, kind tcp, every ${intervalMs / 1_000} s, over ${seconds} s: CPU of all of it

${row(['checked', 'by', 'checks a second', 'of a core', 'µs a check', 'failed'])}
|--:|---|--:|--:|--:|--:|
${costs.map(({ targets, by, checksPerSecond, core, microsecondsEach, failed }) => row([targets.toLocaleString('en'), by, checksPerSecond.toFixed(0), `${(core * 100).toFixed(1)} %`, microsecondsEach.toFixed(1), String(failed)])).join('\n')}

A gateway of ${tenants.toLocaleString('en')} tenants on ${nodes} nodes and ${ports} ports, of which one node goes

${row(['clients', 'all its endpoints down after, ms', 'dials that went there', 'clients that failed', 'slowest client, ms', 'the gateway at rest, of a core'])}
|---|--:|--:|--:|--:|--:|
${deaths.map(({ hasClients, downMs, failedDials, clientsFailed, slowestMs, idleCore }) => row([hasClients ? 'some' : 'none', downMs.toFixed(0), String(failedDials), String(clientsFailed), slowestMs.toFixed(0), `${(idleCore * 100).toFixed(1)} %`])).join('\n')}
`
}
