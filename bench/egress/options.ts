// The command line of npm run bench:egress.

import { list, valuesOf, whole } from '../command-line.ts'
import { runOptionNames, runOptionsOf, type TunnelRunOptions } from '../tunnel/options.ts'
import { allEgressModes, type EgressMode } from './workloads.ts'

export interface EgressOptions extends TunnelRunOptions {
  readonly modes: readonly EgressMode[]
  readonly peers: readonly string[]
  readonly idleConnections: number
  readonly pendingDials: number
  /** Beside the dials. */
  readonly requestsPerSecond: number
}

const full = { runs: '5', duration: '2', 'idle-connections': '2000', 'pending-dials': '10000', rate: '2000' }
const tiny = { runs: '1', duration: '0.2', 'idle-connections': '40', 'pending-dials': '40', rate: '500' }

export function egressUsage(peers: readonly string[]): string {
  return `Measures Sluice's egress (sluice gateway, sluice agent) beside Konnectivity, in a network of its own, by CONNECTs on a Unix socket as
kube-apiserver makes them.

Usage: npm run bench:egress -- [OPTIONS]

  --modes LIST          of ${allEgressModes.join(',')}; all of them by default
                          echo      closed loop over 64 connections, and over 1
                          bulk      one connection, as fast as it goes, either way
                          open      connections opened and closed a second
                          idle      memory of a connection that does nothing
                          stalled   latency of a connection beside a reader that has stopped
                          log       latency of a connection beside a log that is followed at full speed
                          pending   latency of connections beside dials that nobody answers, and what becomes of these
  --peers LIST          of ${peers.join(',')}; all that are there by default (npm run bench:tunnel:peers builds Konnectivity)
  --runs N              rounds over all of it; tables show medians and spreads [${full.runs}]
  --duration SECONDS    of each measurement, after a warm-up [${full.duration}]
  --idle-connections N  of idle; Sluice takes up to 4,000 of a tenant [${full['idle-connections']}]
  --pending-dials N     of pending; it needs as many descriptors [${full['pending-dials']}]
  --rate N              of pending: requests a second [${full.rate}]
  --tiny                a fraction of a second of everything, once: does it run? The figures mean nothing
  --json FILE           [bench/results/egress-TIME.json]
  --markdown FILE       [bench/results/egress-TIME.md]; it is printed as well
  --help

Exit codes: 0 measured · 1 something failed, the report says what · 2 wrong options
`
}

/**
 * @param peers that there are; the default
 * @returns undefined when help is asked for
 * @throws {OptionsError}
 */
export function parseEgressOptions(args: readonly string[], peers: readonly string[]): EgressOptions | undefined {
  const values = valuesOf(args, [...runOptionNames, 'modes', 'peers', 'idle-connections', 'pending-dials', 'rate'])
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  return {
    ...runOptionsOf(values, defaults),
    modes: list('modes', values.modes ?? allEgressModes.join(','), allEgressModes),
    peers: list('peers', values.peers ?? peers.join(','), peers),
    idleConnections: whole('idle-connections', values['idle-connections'] ?? defaults['idle-connections'], { min: 1, max: 4_000 }),
    pendingDials: whole('pending-dials', values['pending-dials'] ?? defaults['pending-dials'], { min: 1, max: 100_000 }),
    requestsPerSecond: whole('rate', values.rate ?? defaults.rate, { min: 1, max: 1_000_000 }),
  }
}
