// The command line of npm run bench:neighbours.

import { number, OptionsError, valuesOf, whole } from '../command-line.ts'
import { hostsMax } from './segment.ts'

export interface NeighboursOptions {
  readonly nodes: number
  readonly apiServers: number
  /** In which each node calls each API server once. */
  readonly intervalsMs: readonly number[]
  readonly runs: number
  readonly durationMs: number
  /** From one reading of counters and tables to the next. */
  readonly readEveryMs: number
  readonly jsonFile?: string | undefined
  readonly markdownFile?: string | undefined
  readonly plotFile?: string | undefined
}

const full = { 'nodes': '50', 'api-servers': '20', 'intervals': '8,30', 'runs': '3', 'duration': '60' }
const tiny = { 'nodes': '4', 'api-servers': '3', 'intervals': '0.5', 'runs': '1', 'duration': '3' }
const optionNames = ['nodes', 'api-servers', 'intervals', 'runs', 'duration', 'json', 'markdown', 'plot'] as const

export const neighboursUsage = `Counts ARP broadcasts and neighbour entries on one segment when all nodes call all API servers: directly, and through one sluice
gateway. Nodes and API servers are network namespaces on a bridge, in a network of its own; it takes no root where the system lets users have
namespaces, and ip and nft. All end with the bench.

Usage: npm run bench:neighbours -- [OPTIONS]

  --nodes N             [${full.nodes}]
  --api-servers N       [${full['api-servers']}]
  --intervals LIST      seconds in which each node calls each API server once; entries expire after 10 to 25 s [${full.intervals}]
  --runs N              rounds over all of it; tables show medians and spreads [${full.runs}]
  --duration SECONDS    of each measurement; it begins with empty tables [${full.duration}]
  --tiny                a few hosts for a few seconds: does it run? The figures mean nothing
  --json FILE           [bench/results/neighbours-TIME.json]
  --markdown FILE       [bench/results/neighbours-TIME.md]; it is printed as well
  --plot FILE           [bench/results/neighbours-TIME.svg]
  --help

Exit codes: 0 measured · 1 something failed, the report says what · 2 wrong options
`

/**
 * @returns undefined when help is asked for
 * @throws {OptionsError}
 */
export function parseNeighboursOptions(args: readonly string[]): NeighboursOptions | undefined {
  const values = valuesOf(args, optionNames)
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  const durationMs = 1000 * number('duration', values.duration ?? defaults.duration, { min: 0.5, max: 3_600 })
  const intervalsMs = (values.intervals ?? defaults.intervals).split(',').map((text) => 1000 * number('intervals', text, { min: 0.1, max: 3_600 }))
  if (intervalsMs.some((each) => each >= durationMs)) throw new OptionsError('--intervals: each must be shorter than --duration, which begins with one')
  return {
    nodes: whole('nodes', values.nodes ?? defaults.nodes, { min: 1, max: hostsMax }),
    apiServers: whole('api-servers', values['api-servers'] ?? defaults['api-servers'], { min: 1, max: hostsMax }),
    intervalsMs, durationMs,
    runs: whole('runs', values.runs ?? defaults.runs, { min: 1, max: 100 }),
    readEveryMs: values.tiny === true ? 100 : 1_000,
    jsonFile: values.json, markdownFile: values.markdown, plotFile: values.plot,
  }
}
