// The command line of npm run bench:tunnel.

import { list, number, valuesOf, whole } from '../command-line.ts'
import { allTunnelModes, type TunnelMode } from './workloads.ts'

/** Of any bench whose targets have two ends. */
export interface TunnelRunOptions {
  readonly runs: number
  /** Of the window that counts. */
  readonly durationMs: number
  /** Load before it. */
  readonly warmUpMs: number
  readonly jsonFile?: string
  readonly markdownFile?: string
}

export interface TunnelOptions extends TunnelRunOptions {
  readonly modes: readonly TunnelMode[]
  readonly peers: readonly string[]
  /** Of the delay mode. */
  readonly roundTripMs: number
  readonly idleStreams: number
  readonly stalledStreams: number
  /** Beside stalled readers. */
  readonly requestsPerSecond: number
}

const full = { runs: '5', duration: '2', 'idle-streams': '4000', 'stalled-streams': '1000', rate: '2000' }
const tiny = { runs: '1', duration: '0.2', 'idle-streams': '40', 'stalled-streams': '20', rate: '500' }
const warmUpMsMax = 500

export function tunnelUsage(peers: readonly string[]): string {
  return `Measures Sluice's tunnel (sluice agent, sluice gateway) beside others, on 127.0.0.1.

Usage: npm run bench:tunnel -- [OPTIONS]

  --modes LIST           of ${allTunnelModes.join(',')}; all of them by default
                           echo            closed loop over 64 streams, and over 1
                           bulk            one stream, as fast as it goes, either way
                           open            streams opened and closed a second
                           idle            memory of a stream that does nothing
                           delay           one stream over a link with a round trip
                           stalled         latency of streams beside readers that have stopped
                           stalled-memory  memory of streams whose readers have stopped
  --peers LIST           of ${peers.join(',')}; all that are there by default (npm run bench:tunnel:peers builds them)
  --runs N               rounds over all of it; tables show medians and spreads [${full.runs}]
  --duration SECONDS     of each measurement, after a warm-up [${full.duration}]
  --round-trip MS        of delay [80]
  --idle-streams N       of idle; Sluice takes up to 4,096 in a session [${full['idle-streams']}]
  --stalled-streams N    of stalled-memory [${full['stalled-streams']}]
  --rate N               of stalled: requests a second [${full.rate}]
  --tiny                 a fraction of a second of everything, once: does it run? The figures mean nothing
  --json FILE            [bench/results/tunnel-TIME.json]
  --markdown FILE        [bench/results/tunnel-TIME.md]; it is printed as well
  --help

Exit codes: 0 measured · 1 something failed, the report says what · 2 wrong options
`
}

/**
 * @param peers that there are; the default
 * @returns undefined when help is asked for
 * @throws {OptionsError}
 */
export function parseTunnelOptions(args: readonly string[], peers: readonly string[]): TunnelOptions | undefined {
  const values = valuesOf(args, [...runOptionNames, 'modes', 'peers', 'round-trip', 'idle-streams', 'stalled-streams', 'rate'])
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  return {
    ...runOptionsOf(values, defaults),
    modes: list('modes', values.modes ?? allTunnelModes.join(','), allTunnelModes),
    peers: list('peers', values.peers ?? peers.join(','), peers),
    roundTripMs: whole('round-trip', values['round-trip'] ?? '80', { min: 2, max: 2_000 }),
    idleStreams: whole('idle-streams', values['idle-streams'] ?? defaults['idle-streams'], { min: 1, max: 100_000 }),
    stalledStreams: whole('stalled-streams', values['stalled-streams'] ?? defaults['stalled-streams'], { min: 1, max: 4_000 }),
    requestsPerSecond: whole('rate', values.rate ?? defaults.rate, { min: 1, max: 1_000_000 }),
  }
}

export const runOptionNames = ['runs', 'duration', 'json', 'markdown'] as const

/** @throws {OptionsError} */
export function runOptionsOf(values: Readonly<Partial<Record<typeof runOptionNames[number], string>>>, defaults: { readonly runs: string, readonly duration: string }): TunnelRunOptions {
  const durationMs = 1000 * number('duration', values.duration ?? defaults.duration, { min: 0.05, max: 3600 })
  return {
    runs: whole('runs', values.runs ?? defaults.runs, { min: 1, max: 1_000 }),
    durationMs,
    warmUpMs: Math.min(warmUpMsMax, durationMs / 4),
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    ...(values.markdown === undefined ? {} : { markdownFile: values.markdown }),
  }
}
