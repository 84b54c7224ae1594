// The command line: what is measured, against whom, how often and for how long.

import { availableParallelism } from 'node:os'
import { list, number, numbers, OptionsError, valuesOf, whole } from './command-line.ts'
import { hostnamesMin } from './routes.ts'

export const allModes = ['echo', 'paced', 'connect', 'download', 'upload', 'idle'] as const
export type Mode = typeof allModes[number]

export interface Options {
  readonly runs: number
  /** Of the window that counts. */
  readonly durationMs: number
  /** Load before it. */
  readonly warmUpMs: number
  readonly modes: readonly Mode[]
  /** Names of targets, `direct` among them. */
  readonly targets: readonly string[]
  /** Of the echo mode: a measurement for each. */
  readonly connections: readonly number[]
  /** Of the paced mode. */
  readonly requestsPerSecond: number
  readonly idleConnections: number
  /** In each relay's configuration: a target for each. */
  readonly hostnames: readonly number[]
  /** Of the generator, and processes of the backend. */
  readonly threads: number
  /** Numbers of the cores that relays have to themselves, the load having the others. Absent: all have all. */
  readonly relayCores?: readonly number[]
  /** The most that a core's waking up may take, in microseconds; 0: none sleeps. Absent: as the machine is set. */
  readonly cpuLatencyUs?: number
  readonly jsonFile?: string
  readonly markdownFile?: string
  /** SVG, of the echo mode. */
  readonly plotFile?: string
}

const full = { runs: '5', duration: '2', connections: '1,64,2000', rate: '5000', 'idle-connections': '4000' }
const tiny = { runs: '1', duration: '0.1', connections: '1,8', rate: '500', 'idle-connections': '40' }
const warmUpMsMax = 500
/** Fewer than Sluice's own limit, and one endpoint each. */
const hostnamesMax = 200_000

export function usage(targets: readonly string[]): string {
  return `Measures Sluice beside the relays that are installed, and beside a direct connection, on 127.0.0.1.

Usage: npm run bench -- [OPTIONS]

  --modes LIST              of ${allModes.join(',')}; all of them by default
                              echo      closed loop: as many requests as go through
                              paced     open loop: latency at a rate, stalls included
                              connect   connections a second
                              download, upload   bulk
                              idle      memory of a connection that does nothing
  --peers LIST              of ${targets.join(',')}; all that are installed by default
  --runs N                  rounds over all of it; tables show medians and spreads [${full.runs}]
  --duration SECONDS        of each measurement, after a warm-up [${full.duration}]
  --connections LIST        of echo: a measurement for each [${full.connections}]
  --rate N                  of paced: requests a second [${full.rate}]
  --idle-connections N      of idle [${full['idle-connections']}]
  --hostnames LIST          in each relay's configuration, three of which are used; with several, each relay is measured
                            with each, and compared with itself with the first [${hostnamesMin}]
  --threads N               of the load generator, and backend processes [a quarter of the cores: ${defaultThreads()}]
  --relay-cores LIST        numbers of the cores that relays are kept on, and all else off, as if they had a machine of their own; by
                            default the system puts all where it likes, on few cores often all on one
  --cpu-latency US          the most that a core's waking up may take (/dev/cpu_dma_latency, as tuned and cyclictest set it); 0: no core
                            sleeps, so that a virtual machine's halts, which may take longer than a relay, are not what is measured
  --tiny                    a fraction of a second of everything, once: does it run? The figures mean nothing
  --json FILE               [bench/results/TIME.json]
  --markdown FILE           [bench/results/TIME.md]; it is printed as well
  --plot FILE               of echo: the distribution of latencies [bench/results/TIME.svg]
  --help

Examples
  npm run bench                                           all of it: see the plan that it prints first
  npm run bench -- --modes echo --connections 64 --peers sluice,haproxy --duration 5
  npm run bench -- --modes echo --connections 1,4 --peers direct,sluice-lane,haproxy --relay-cores 1 --cpu-latency 0
  npm run bench -- --modes idle --idle-connections 9000   needs ulimit -n 20000
  npm run bench -- --modes echo,connect --connections 64 --peers sluice --hostnames 10,100000

Exit codes: 0 measured · 1 something failed, the report says what · 2 wrong options
`
}

/**
 * @param targets that there are; the default
 * @returns undefined when help is asked for
 * @throws {OptionsError}
 */
export function parseOptions(args: readonly string[], targets: readonly string[]): Options | undefined {
  const values = valuesOf(args, ['runs', 'duration', 'modes', 'peers', 'connections', 'rate', 'idle-connections', 'hostnames', 'threads', 'relay-cores', 'cpu-latency', 'json', 'markdown', 'plot'])
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  const durationMs = 1000 * number('duration', values.duration ?? defaults.duration, { min: 0.05, max: 3600 })
  return {
    runs: whole('runs', values.runs ?? defaults.runs, { min: 1, max: 1_000 }),
    durationMs,
    warmUpMs: Math.min(warmUpMsMax, durationMs / 4),
    modes: list('modes', values.modes ?? allModes.join(','), allModes),
    targets: list('peers', values.peers ?? targets.join(','), targets),
    connections: numbers('connections', values.connections ?? defaults.connections, { min: 1, max: 100_000 }),
    requestsPerSecond: whole('rate', values.rate ?? defaults.rate, { min: 1, max: 1_000_000 }),
    idleConnections: whole('idle-connections', values['idle-connections'] ?? defaults['idle-connections'], { min: 1, max: 100_000 }),
    hostnames: numbers('hostnames', values.hostnames ?? String(hostnamesMin), { min: hostnamesMin, max: hostnamesMax }),
    threads: whole('threads', values.threads ?? String(defaultThreads()), { min: 1, max: 64 }),
    ...(values['relay-cores'] === undefined ? {} : { relayCores: relayCores(values['relay-cores']) }),
    ...(values['cpu-latency'] === undefined ? {} : { cpuLatencyUs: whole('cpu-latency', values['cpu-latency'], { min: 0, max: 1_000_000 }) }),
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    ...(values.markdown === undefined ? {} : { markdownFile: values.markdown }),
    ...(values.plot === undefined ? {} : { plotFile: values.plot }),
  }
}

function relayCores(text: string): readonly number[] {
  const cores = availableParallelism()
  const listed = numbers('relay-cores', text, { min: 0, max: cores - 1 })
  if (listed.length === cores) throw new OptionsError(`--relay-cores is ${JSON.stringify(text)}; expected that a core is left for the load, of ${cores}`)
  return listed
}

/** A relay with one thread is what is measured: two threads for the load saturate it on a larger machine. */
function defaultThreads(): number {
  return Math.max(1, Math.min(4, Math.floor(availableParallelism() / 4)))
}
