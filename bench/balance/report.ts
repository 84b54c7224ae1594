// From the figures to the tables that are printed. Pure.

import type { Machine } from '../machine.ts'
import { row } from '../report.ts'
import type { Balance, Cost, Distribution } from './measure.ts'
import type { BalanceOptions } from './options.ts'

/** @returns Markdown, a line a line */
export function renderBalance({ costs, distributions, moves }: Balance, { endpoints, threads, picks, connections }: BalanceOptions, machine: Machine): string {
  const names = Array.from(new Set(costs.map(({ scheduler }) => scheduler)))
  const rows = <Figures extends { readonly scheduler: string; readonly endpoints: number }>(figures: readonly Figures[], cell: (its: Figures) => string): string =>
    names.map((name) => row([name, ...endpoints.map((count) => figures.filter((its) => its.scheduler === name && its.endpoints === count).map(cell).join('') || '–')])).join('\n')
  const head = `${row(['scheduler', ...endpoints.map((count) => `${count.toLocaleString('en')} endpoints`)])}\n|---|${endpoints.map(() => '--:|').join('')}`
  return `# Schedulers

${machine.cores} cores (${machine.cpu}), ${machine.kernel}, Node ${machine.node}. Weights 1, 2 and 3 in turn; ${threads} threads' counts.

A pick, its count and the count of another's end: ns of CPU time, over ${picks.toLocaleString('en')}, and bytes allocated

${head}
${rows<Cost>(costs, ({ pickNs, pickBytes }) => `${pickNs.toFixed(0)} (${pickBytes.toFixed(1)} B)`)}

Live connections of the emptiest and the fullest endpoint after ${connections.toLocaleString('en')}, in multiples of its share by weight

${head}
${rows<Distribution>(distributions, ({ leastShare, mostShare }) => `${leastShare.toFixed(2)}–${mostShare.toFixed(2)}`)}

The table of mh, and the entries that have another endpoint when one leaves, in multiples of those that must

${row(['endpoints', 'entries', 'made in, ms', '×'])}
|--:|--:|--:|--:|
${moves.map((its) => row([its.endpoints.toLocaleString('en'), its.entries.toLocaleString('en'), its.buildMs.toFixed(2), its.timesIdeal.toFixed(2)])).join('\n')}
`
}
