// The command line of npm run bench:storm.

import { list, number, valuesOf, whole } from '../command-line.ts'

export const allModes = ['storm', 'attack'] as const
export type Mode = typeof allModes[number]

export interface StormOptions {
  readonly modes: readonly Mode[]
  /** Names of targets, `direct` among them. */
  readonly targets: readonly string[]
  readonly runs: number
  /** Of the window with steady requests alone, and of the one that begins with the storm or the attack. */
  readonly durationMs: number
  readonly warmUpMs: number
  /** Of a storm or an attack that does not count, before the others. */
  readonly rehearsalMs: number
  /** Of the storm. */
  readonly clients: number
  /** That they belong to, alike. */
  readonly tenants: number
  /** With steady requests. */
  readonly steady: number
  readonly requestsPerSecond: number
  /** Of the targets that are told to let in no more. */
  readonly connectionsPerSecond: number
  readonly attackPerSecond: number
  readonly jsonFile?: string | undefined
  readonly markdownFile?: string | undefined
  readonly plotFile?: string | undefined
}

const full = { runs: '3', duration: '6', rehearsal: '3', clients: '9000', tenants: '60', steady: '500', rate: '2000', 'connection-rate': '2000', 'attack-rate': '5000' }
const tiny = { runs: '1', duration: '0.5', rehearsal: '0.2', clients: '60', tenants: '4', steady: '10', rate: '200', 'connection-rate': '200', 'attack-rate': '200' }
const optionNames = ['modes', 'peers', 'runs', 'duration', 'rehearsal', 'clients', 'tenants', 'steady', 'rate', 'connection-rate', 'attack-rate', 'json', 'markdown', 'plot'] as const
const warmUpMsMax = 1_000

export function stormUsage(targets: readonly string[]): string {
  return `Steady requests over some connections, and what becomes of their latency when thousands of clients reconnect at once, or when one
tenant is attacked: through Sluice, through the relays that are installed, and directly, on 127.0.0.1.

Usage: npm run bench:storm -- [OPTIONS]

  --modes LIST            of ${allModes.join(',')}; both by default
                            storm    --clients connect at once, wait for an echo, and stay; who is refused comes back as client-go does
                            attack   --attack-rate connections a second for one tenant: half of them real, a quarter garbage, a quarter
                                     saying a byte a second; and newcomers of another tenant meanwhile
  --peers LIST            of ${targets.join(',')}; all that are installed by default
  --runs N                tables show medians and spreads [${full.runs}]
  --duration SECONDS      of the calm window, and of the one that begins with the storm or the attack [${full.duration}]
  --rehearsal SECONDS     of a smaller storm, or of an attack from other addresses, before the windows: gateways have run for a while, and what is
                          compiled meanwhile, the load's own code above all, takes the processors of all; 0: none [${full.rehearsal}]
  --clients N             of the storm [${full.clients}]; each takes two descriptors of a relay
  --tenants N             that they belong to, alike [${full.tenants}]
  --steady N              connections with steady requests, of another tenant [${full.steady}]
  --rate N                steady requests a second, due at fixed times [${full.rate}]
  --connection-rate N     connections a second that targets named -rate are told to let in [${full['connection-rate']}]
  --attack-rate N         [${full['attack-rate']}]
  --tiny                  does it run? The figures mean nothing
  --json FILE             [bench/results/storm-TIME.json]
  --markdown FILE         [bench/results/storm-TIME.md]; it is printed as well
  --plot FILE             [bench/results/storm-TIME.svg]
  --help

Exit codes: 0 measured · 1 something failed, the report says what · 2 wrong options
`
}

/**
 * @param targets that there are; the default
 * @returns undefined when help is asked for
 * @throws {OptionsError}
 */
export function parseStormOptions(args: readonly string[], targets: readonly string[]): StormOptions | undefined {
  const values = valuesOf(args, optionNames)
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  const durationMs = 1000 * number('duration', values.duration ?? defaults.duration, { min: 0.1, max: 600 })
  return {
    modes: list('modes', values.modes ?? allModes.join(','), allModes),
    targets: list('peers', values.peers ?? targets.join(','), targets),
    runs: whole('runs', values.runs ?? defaults.runs, { min: 1, max: 100 }),
    durationMs,
    warmUpMs: Math.min(warmUpMsMax, durationMs),
    rehearsalMs: 1000 * number('rehearsal', values.rehearsal ?? defaults.rehearsal, { min: 0, max: 600 }),
    clients: whole('clients', values.clients ?? defaults.clients, { min: 3, max: 30_000 }),
    tenants: whole('tenants', values.tenants ?? defaults.tenants, { min: 1, max: 1_000 }),
    steady: whole('steady', values.steady ?? defaults.steady, { min: 1, max: 10_000 }),
    requestsPerSecond: whole('rate', values.rate ?? defaults.rate, { min: 1, max: 100_000 }),
    connectionsPerSecond: whole('connection-rate', values['connection-rate'] ?? defaults['connection-rate'], { min: 1, max: 100_000 }),
    attackPerSecond: whole('attack-rate', values['attack-rate'] ?? defaults['attack-rate'], { min: 4, max: 20_000 }),
    jsonFile: values.json, markdownFile: values.markdown, plotFile: values.plot,
  }
}
