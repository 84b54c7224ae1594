// The command line of npm run bench:health.

import { numbers, valuesOf, whole } from '../command-line.ts'

export interface HealthOptions {
  /** Addresses with a port that are checked: a measurement for each. */
  readonly targets: readonly number[]
  /** Of a measurement, after each target was checked once. */
  readonly seconds: number
  readonly intervalMs: number
  /** Of the gateway whose node dies. */
  readonly tenants: number
  /** Admin nodes, each an address of its own. */
  readonly nodes: number
  /** NodePorts, which tenants share. */
  readonly ports: number
}

const full = { targets: '1000,25000', seconds: '20', interval: '10000', tenants: '25000', nodes: '20', ports: '50' }
const tiny = { targets: '40', seconds: '1', interval: '1000', tenants: '40', nodes: '3', ports: '5' }

export const usage = `Measures what checks of endpoints cost, and how soon a node that dies gets no more connections, on 127.0.0.0/8.

Usage: npm run bench:health -- [OPTIONS]

  --targets LIST   addresses with a port that are checked [${full.targets}]
  --seconds N      of each measurement [${full.seconds}]
  --interval N     milliseconds from one check to the next [${full.interval}]
  --tenants N      of the gateway whose node dies [${full.tenants}]
  --nodes N        addresses of its pool, 2 to 250 [${full.nodes}]
  --ports N        NodePorts that tenants share [${full.ports}]
  --tiny           does it run? The figures mean nothing
  --help

Exit codes: 0 measured · 1 something failed · 2 wrong options
`

/** @returns undefined when help is asked for. @throws {OptionsError} */
export function parseHealthOptions(args: readonly string[]): HealthOptions | undefined {
  const values = valuesOf(args, ['targets', 'seconds', 'interval', 'tenants', 'nodes', 'ports'])
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  return {
    targets: numbers('targets', values.targets ?? defaults.targets, { min: 1, max: 100_000 }),
    seconds: whole('seconds', values.seconds ?? defaults.seconds, { min: 1, max: 3_600 }),
    intervalMs: whole('interval', values.interval ?? defaults.interval, { min: 1_000, max: 600_000 }),
    tenants: whole('tenants', values.tenants ?? defaults.tenants, { min: 1, max: 40_000 }),
    nodes: whole('nodes', values.nodes ?? defaults.nodes, { min: 2, max: 250 }),
    ports: whole('ports', values.ports ?? defaults.ports, { min: 1, max: 500 }),
  }
}
