// What is measured: the loads of a run, what each says, and what each needs. Pure.

import type { BackendRole } from './load/backend-protocol.ts'
import type { LoadSpec } from './load/load.ts'
import type { Options } from './options.ts'

export interface Workload {
  /** `echo-64` */
  readonly name: string
  readonly title: string
  readonly explanation: string
  readonly spec: LoadSpec
  /** The backend that the connections' hello names. */
  readonly role: BackendRole
}

const payloadBytes = 128
const pacedConnections = 64
const connectConnections = 16
const bulkConnections = 2

/** Descriptors of a relay besides those of its connections: listeners, logs, epoll, admin. */
const descriptorsOfItsOwn = 100
/** What is opened in a second by the slower ones. Only for the estimate of the duration. */
const openedPerSecond = 4_000
const overheadMs = 150

export function workloadsOf({ modes, connections, requestsPerSecond, idleConnections }: Options): readonly Workload[] {
  return modes.flatMap((mode) => {
    switch (mode) {
      case 'echo':
        return connections.map((count) => echo(count))
      case 'paced':
        return [paced(requestsPerSecond)]
      case 'connect':
        return [connect()]
      case 'download':
        return [bulk('download', 'source')]
      case 'upload':
        return [bulk('upload', 'sink')]
      case 'idle':
        return [idle(idleConnections)]
      default: {
        const never: never = mode
        throw new Error(`bug: no mode ${String(never)}`)
      }
    }
  })
}

function echo(connections: number): Workload {
  return {
    name: `echo-${connections}`,
    title: `Echo, closed loop, ${plural(connections, 'connection')}`,
    explanation: `Each connection sends ${payloadBytes} B when it has the last answer: as many requests as go through.`,
    spec: { kind: 'echo', connections, payloadBytes },
    role: 'echo',
  }
}

function paced(requestsPerSecond: number): Workload {
  return {
    name: 'paced',
    title: `Echo, open loop, ${requestsPerSecond.toLocaleString('en')} requests/s over ${pacedConnections} connections`,
    explanation: 'Requests are due at fixed times. Latency counts from then, so a stall is in every request that it delays; '
      + '“generator late” is the part of it that the generator is to blame for, the same for all.',
    spec: { kind: 'paced', connections: pacedConnections, payloadBytes, requestsPerSecond },
    role: 'echo',
  }
}

function connect(): Workload {
  return {
    name: 'connect',
    title: `Connection rate, ${connectConnections} at a time`,
    explanation: 'Connect, ClientHello, its echo, reset; and again.',
    spec: { kind: 'connect', connections: connectConnections },
    role: 'echo',
  }
}

function bulk(kind: 'download' | 'upload', role: 'source' | 'sink'): Workload {
  return {
    name: kind,
    title: `Bulk ${kind}, ${bulkConnections} connections`,
    explanation: kind === 'download' ? 'A backend sends as fast as it can; counted at the client.' : 'The client sends as fast as it can; counted at the backend.',
    spec: { kind, connections: bulkConnections },
    role,
  }
}

function idle(connections: number): Workload {
  return {
    name: 'idle',
    title: `Idle, ${plural(connections, 'connection')}`,
    explanation: 'A freshly started relay, before and after: the growth of its PSS for each connection. Socket buffers are the kernel\'s and not in it.',
    spec: { kind: 'idle', connections },
    role: 'echo',
  }
}

function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** @returns why it does not fit under RLIMIT_NOFILE, which the bench's processes have in common */
export function misfitOf({ spec: { connections } }: Workload, descriptorLimit: number): string | undefined {
  const needed = 2 * connections + descriptorsOfItsOwn
  if (needed <= descriptorLimit) return undefined
  return `a relay of ${connections.toLocaleString('en')} connections needs some ${needed.toLocaleString('en')} descriptors, `
    + `and the limit is ${descriptorLimit.toLocaleString('en')} (ulimit -n)`
}

/** How long one measurement will take, in all. */
export function expectedMs({ spec }: Workload, { durationMs, warmUpMs }: Pick<Options, 'durationMs' | 'warmUpMs'>): number {
  return 1000 * spec.connections / openedPerSecond + warmUpMs + durationMs + overheadMs
}
