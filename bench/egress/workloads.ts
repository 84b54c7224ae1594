// What is measured of an egress: the tunnels' loads, by CONNECT, and what an API server must not be held up by. Pure.

import { bulk, cores, echo, idle, latenciesBeside, memory, open, pacedStreams, payloadBytes, plain, stalled, type TunnelWorkload } from '../tunnel/workloads.ts'
import { blackHole } from './network.ts'
import type { EgressOptions } from './options.ts'

export const allEgressModes = ['echo', 'bulk', 'open', 'idle', 'stalled', 'log', 'pending'] as const
export type EgressMode = typeof allEgressModes[number]

/** Of the one that somebody types into. */
const execRequestsPerSecond = 500
/** … beside a log, where an echo may take ten times as long: each must be there before the next one is due. */
const besideLogRequestsPerSecond = 50

export function egressWorkloads({ modes, idleConnections, pendingDials, requestsPerSecond }: EgressOptions): readonly TunnelWorkload[] {
  return modes.flatMap((mode) => {
    switch (mode) {
      case 'echo': return [echo(64), echo(1)]
      case 'bulk': return [bulk('download', 0), bulk('upload', 0)]
      case 'open': return [open()]
      case 'idle': return [idle(idleConnections)]
      case 'stalled': return [stalled({ readers: 1, streams: 1, requestsPerSecond: execRequestsPerSecond })]
      case 'log': return [besideLog()]
      case 'pending': return [pending(pendingDials, requestsPerSecond)]
      default: {
        const never: never = mode
        throw new Error(`bug: no mode ${String(never)}`)
      }
    }
  })
}

function besideLog(): TunnelWorkload {
  return {
    ...plain,
    name: 'log',
    title: 'One stream beside a log at full speed',
    explanation: `${besideLogRequestsPerSecond.toLocaleString('en')} echoes/s are due at fixed times, first alone (“before”), then while another stream brings what its source sends as fast as it comes. `
      + '“New stream”: opened meanwhile, until its echo.',
    spec: { kind: 'paced', connections: 1, payloadBytes, requestsPerSecond: besideLogRequestsPerSecond },
    role: 'echo',
    isFresh: true,
    besideLog: true,
    columns: [
      ...latenciesBeside,
      { metric: 'logMegabytesPerSecond', title: 'log, MB/s', digits: 0, compared: 'more' },
      { metric: 'newStreamMs', title: 'new stream, ms', digits: 1 },
      { metric: 'generatorLateP99Us', title: 'generator late p99, µs', digits: 0 },
      ...cores,
    ],
  }
}

function pending(dials: number, requestsPerSecond: number): TunnelWorkload {
  return {
    ...plain,
    name: 'pending',
    title: `${pacedStreams} streams beside ${dials.toLocaleString('en')} dials to where nobody answers`,
    explanation: `${requestsPerSecond.toLocaleString('en')} echoes/s are due at fixed times, first without the dials (“before”), then while they wait: all are asked for within a second or two. `
      + '“Answered” is with a status, “closed” without one; the slowest answer counts from its CONNECT. Growth is that of both ends’ memory while the dials wait.',
    spec: { kind: 'paced', connections: pacedStreams, payloadBytes, requestsPerSecond },
    role: 'echo',
    isFresh: true,
    pending: { dials, address: blackHole.address, port: blackHole.port },
    columns: [
      ...latenciesBeside,
      { metric: 'answered504', title: 'answered 504', digits: 0 },
      { metric: 'answeredOther', title: 'otherwise', digits: 0 },
      { metric: 'closedUnanswered', title: 'closed', digits: 0 },
      { metric: 'unanswered', title: 'nothing in 20 s', digits: 0 },
      { metric: 'slowestAnswerMs', title: 'slowest answer, ms', digits: 0 },
      { metric: 'pendingMib', title: 'growth, MiB', digits: 1, compared: 'less' },
      memory, ...cores,
    ],
  }
}
