// What is measured of a tunnel: loads, what stands beside them, and the columns of each table. Pure.

import type { BackendRole } from '../load/backend-protocol.ts'
import type { LoadSpec } from '../load/load.ts'
import type { Column } from '../metrics.ts'
import type { TunnelOptions } from './options.ts'

export interface TunnelWorkload {
  /** `echo-64` */
  readonly name: string
  readonly title: string
  readonly explanation: string
  readonly spec: LoadSpec
  readonly role: BackendRole
  /** Of the link, beside what loopback takes. */
  readonly roundTripMs: number
  /** Both ends start anew first: memory that other loads have left to the allocator would be there for this one. */
  readonly isFresh: boolean
  /** Readers that stop before the load begins. With some, it is measured without them first. */
  readonly stalled: number
  /** A log that is followed at full speed; it is measured without it first. */
  readonly besideLog: boolean
  /** Dials to where nobody answers, that wait while the load runs; it is measured without them first. */
  readonly pending?: { readonly dials: number, readonly address: string, readonly port: number }
  readonly columns: readonly Column[]
}

export const allTunnelModes = ['echo', 'bulk', 'open', 'idle', 'delay', 'stalled', 'stalled-memory'] as const
export type TunnelMode = typeof allTunnelModes[number]

export const payloadBytes = 128
const openingStreams = 16
const stalledReaders = [1, 20]
/** Beside the stalled ones. */
export const pacedStreams = 50
const mebibyte = 1024 * 1024
const kibibyte = 1024

export const memory: Column = { metric: 'memoryMib', title: 'memory, MiB', digits: 1 }
export const cores: readonly Column[] = [
  { metric: 'relayCores', title: 'cores: both ends', digits: 2 },
  { metric: 'generatorCores', title: 'generator', digits: 2 },
  { metric: 'backendCores', title: 'backend', digits: 2 },
]
const latencies: readonly Column[] = [
  { metric: 'p50Us', title: 'p50, µs', digits: 0, compared: 'less' },
  { metric: 'p99Us', title: 'p99, µs', digits: 0, compared: 'less' },
]
/** Of a load beside what may hold it up. */
export const latenciesBeside: readonly Column[] = [
  { metric: 'beforeP50Us', title: 'before: p50, µs', digits: 0 },
  { metric: 'p50Us', title: 'p50, µs', digits: 0, compared: 'less' },
  { metric: 'beforeP99Us', title: 'before: p99, µs', digits: 0 },
  { metric: 'p99Us', title: 'p99, µs', digits: 0, compared: 'less' },
]
export const plain = { roundTripMs: 0, isFresh: false, stalled: 0, besideLog: false }

export interface WindowBounds {
  /** What a stream's window begins with. */
  readonly initialBytes: number
  /** By which all windows of a process may have grown together. */
  readonly growthBytes: number
}

/** @param bounds Sluice's own, for the explanations */
export function tunnelWorkloads({ modes, roundTripMs, idleStreams, stalledStreams, requestsPerSecond }: TunnelOptions, bounds: WindowBounds): readonly TunnelWorkload[] {
  return modes.flatMap((mode) => {
    switch (mode) {
      case 'echo': return [echo(64), echo(1)]
      case 'bulk': return [bulk('download', 0), bulk('upload', 0)]
      case 'open': return [open()]
      case 'idle': return [idle(idleStreams)]
      case 'delay': return [bulk('download', roundTripMs), bulk('upload', roundTripMs)]
      case 'stalled': return stalledReaders.map((readers) => stalled({ readers, streams: pacedStreams, requestsPerSecond }))
      case 'stalled-memory': return [stalledMemory(stalledStreams, bounds)]
      default: {
        const never: never = mode
        throw new Error(`bug: no mode ${String(never)}`)
      }
    }
  })
}

export function echo(connections: number): TunnelWorkload {
  return {
    ...plain,
    name: `echo-${connections}`,
    title: `Echo, closed loop, ${connections} ${connections === 1 ? 'stream' : 'streams'}`,
    explanation: `Each stream carries ${payloadBytes} B when it has brought the last answer: as many requests as go through.`,
    spec: { kind: 'echo', connections, payloadBytes },
    role: 'echo',
    columns: [
      { metric: 'requestsPerSecond', title: 'requests/s', digits: 0, compared: 'more' },
      { metric: 'cpuUsPerRequest', title: 'CPU µs/request', digits: 1, compared: 'less' },
      ...latencies, memory, ...cores,
    ],
  }
}

export function bulk(kind: 'download' | 'upload', roundTripMs: number): TunnelWorkload {
  const isSlow = roundTripMs > 0
  const rate: Column = isSlow
    ? { metric: 'megabytesPerSecond', title: 'MB/s', digits: 1, compared: 'more' }
    : { metric: 'gigabytesPerSecond', title: 'GB/s', digits: 2, compared: 'more' }
  return {
    ...plain,
    name: isSlow ? `${kind}-${roundTripMs}ms` : kind,
    title: `One stream, ${kind}${isSlow ? `, ${roundTripMs} ms of round trip` : ''}`,
    explanation: `${kind === 'download' ? 'The backend sends as fast as it can; counted at the client.' : 'The client sends as fast as it can; counted at the backend.'}${
      isSlow ? ` A relay between the ends holds all bytes for ${roundTripMs / 2} ms each way, and limits nothing else.` : ''}`,
    spec: { kind, connections: 1 },
    role: kind === 'download' ? 'source' : 'sink',
    roundTripMs,
    columns: [rate, { metric: 'cpuSecondsPerGigabyte', title: 'CPU s/GB', digits: 2, compared: 'less' }, memory, ...cores],
  }
}

export function open(): TunnelWorkload {
  return {
    ...plain,
    name: 'open',
    title: `Streams opened and closed, ${openingStreams} at a time`,
    explanation: 'Connect, 1.5 KiB and their echo, reset; and again.',
    spec: { kind: 'connect', connections: openingStreams },
    role: 'echo',
    columns: [
      { metric: 'connectionsPerSecond', title: 'streams/s', digits: 0, compared: 'more' },
      { metric: 'cpuUsPerConnection', title: 'CPU µs/stream', digits: 0, compared: 'less' },
      ...latencies, memory, ...cores,
    ],
  }
}

export function idle(connections: number): TunnelWorkload {
  return {
    ...plain,
    name: 'idle',
    title: `${connections.toLocaleString('en')} idle streams`,
    explanation: 'Ends that were freshly started, before and after: the growth of their PSS for each stream, both together. Socket buffers are the kernel\'s and not in it.',
    spec: { kind: 'idle', connections },
    role: 'echo',
    isFresh: true,
    columns: [
      { metric: 'idleKibPerConnection', title: 'KiB/stream', digits: 2, compared: 'less' },
      memory,
      { metric: 'idleCpuPercent', title: 'CPU while idle, %', digits: 1 },
    ],
  }
}

/** @param options `streams` beside the readers */
export function stalled({ readers, streams, requestsPerSecond }: { readonly readers: number, readonly streams: number, readonly requestsPerSecond: number }): TunnelWorkload {
  return {
    ...plain,
    name: `stalled-${readers}`,
    title: `${streams === 1 ? 'One stream' : `${streams} streams`} beside ${readers === 1 ? 'a reader that has stopped' : `${readers} readers that have stopped`}`,
    explanation: `${requestsPerSecond.toLocaleString('en')} echoes/s are due at fixed times, first without them (“before”), then while ${
      readers === 1 ? 'it has' : 'they have'} a stream that is pushed as much as it takes, and ${readers === 1 ? 'reads' : 'read'} nothing. “New stream”: opened meanwhile, until its echo.`,
    spec: { kind: 'paced', connections: streams, payloadBytes, requestsPerSecond },
    role: 'echo',
    isFresh: true,
    stalled: readers,
    columns: [
      ...latenciesBeside,
      { metric: 'newStreamMs', title: 'new stream, ms', digits: 1 },
      { metric: 'generatorLateP99Us', title: 'generator late p99, µs', digits: 0 },
      ...cores,
    ],
  }
}

function stalledMemory(streams: number, { initialBytes, growthBytes }: WindowBounds): TunnelWorkload {
  return {
    ...plain,
    name: 'stalled-memory',
    title: `Memory of ${streams.toLocaleString('en')} stalled streams`,
    explanation: 'Ends that were freshly started, and again when each stream has been pushed as much as it takes, and nobody reads: the growth of their PSS, both together. '
      + `Sluice's windows alone may come to ${(streams * initialBytes / mebibyte).toLocaleString('en')} MiB at the end that receives (${initialBytes / kibibyte} KiB each), `
      + `and ${growthBytes / mebibyte} MiB more by which they may have grown together.`,
    spec: { kind: 'idle', connections: 1 },
    role: 'echo',
    isFresh: true,
    stalled: streams,
    columns: [
      { metric: 'stalledStreams', title: 'streams', digits: 0 },
      { metric: 'stalledMib', title: 'growth, MiB', digits: 0 },
      { metric: 'stalledKibPerStream', title: 'KiB/stream', digits: 0, compared: 'less' },
      memory,
    ],
  }
}
