// The command line of npm run bench:balance.

import { numbers, valuesOf, whole } from '../command-line.ts'

export interface BalanceOptions {
  /** Endpoints of a tenant. */
  readonly endpoints: readonly number[]
  /** That count connections: what a pick adds up for each endpoint that it looks at. */
  readonly threads: number
  /** Timed, for each scheduler. */
  readonly picks: number
  /** Connections whose distribution is looked at. */
  readonly connections: number
}

const full = { endpoints: '2,100,1000,5000', threads: '8', picks: '200000', connections: '300000' }
const tiny = { endpoints: '2,40', threads: '2', picks: '2000', connections: '2000' }

export const usage = `Measures schedulers: what a pick costs, how connections are distributed, and who moves when an endpoint leaves.

Usage: npm run bench:balance -- [OPTIONS]

  --endpoints LIST   of a tenant [${full.endpoints}]
  --threads N        that count connections together [${full.threads}]
  --picks N          timed, for each scheduler [${full.picks}]
  --connections N    whose distribution is looked at [${full.connections}]
  --tiny             does it run? The figures mean nothing
  --help

Exit codes: 0 measured · 1 something failed · 2 wrong options
`

/** @returns undefined when help is asked for. @throws {OptionsError} */
export function parseBalanceOptions(args: readonly string[]): BalanceOptions | undefined {
  const values = valuesOf(args, ['endpoints', 'threads', 'picks', 'connections'])
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  return {
    endpoints: numbers('endpoints', values.endpoints ?? defaults.endpoints, { min: 2, max: 10_000 }),
    threads: whole('threads', values.threads ?? defaults.threads, { min: 1, max: 256 }),
    picks: whole('picks', values.picks ?? defaults.picks, { min: 1_000, max: 1_000_000_000 }),
    connections: whole('connections', values.connections ?? defaults.connections, { min: 1_000, max: 1_000_000_000 }),
  }
}
