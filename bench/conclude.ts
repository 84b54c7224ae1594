// From the readings of one measurement to its figures. Pure.
//
// CPU and operations are divided by the time between the readings of each, so that a reading that comes late (a busy
// event loop, thousands of connections) shifts a window and spoils no figure.

import { mismatchOf } from './counts.ts'
import type { BackendCounters } from './load/backend-protocol.ts'
import type { LoadTally } from './load/load.ts'
import { createLatencyHistogram } from './load/tally.ts'
import type { Metrics } from './metrics.ts'
import type { MachineCpu } from './proc.ts'
import type { Workload } from './workload.ts'

/** Of one core; from here on it is what limits the figure. */
const fullCore = 0.9
/** Of all cores. */
const fullMachineIdleShare = 0.05
/** Of the rate asked for. */
const behindShare = 0.98
const mebibyte = 1024 * 1024

/** Up to which share of the requests `Measured.latencyUs` tells: from the fastest to the slowest of a thousand, evenly by the number of nines. */
export const latencyShares: readonly number[] = Array.from({ length: 61 }, (_, index) => 1 - 10 ** -(index / 20))

export interface Measured {
  readonly metrics: Metrics
  /** Of the echo load, for the picture: by `latencyShares`. */
  readonly latencyUs?: readonly number[]
  /** What makes the figures less than they say: a generator at its limit, an answer that never came. */
  readonly caveats: readonly string[]
  /** What makes them wrong. */
  readonly failure?: string
}

/** What was read at one end of the window. */
export interface Edge {
  readonly atMs: number
  readonly relayCpuSeconds: number
  readonly machine: MachineCpu
  readonly ownCpuSeconds: number
  readonly backends: readonly BackendCounters[]
}

export interface Readings {
  readonly workload: Pick<Workload, 'spec'>
  readonly tallies: readonly LoadTally[]
  /** Before the first connection. */
  readonly before: readonly BackendCounters[]
  readonly open: Edge
  readonly close: Edge
  readonly hasRelay: boolean
  readonly pssBeforeBytes: number | undefined
  readonly pssAfterBytes: number | undefined
  /** Of the connections to the backend, those that are not the load's. @default 0 */
  readonly standing?: number
  /** When all connections have ended, or when that took too long. */
  readonly after: readonly BackendCounters[]
}

export function conclude(readings: Readings): Measured {
  const { workload: { spec }, tallies, hasRelay, standing = 0 } = readings
  const cores = coresOf(readings)
  const opened = sum(tallies, ({ opened }) => opened)
  const failures = sum(tallies, ({ failures }) => failures)
  const firstFailure = tallies.find(({ firstFailure }) => firstFailure !== undefined)?.firstFailure
  const mismatch = failures > 0 ? undefined : mismatchOf(spec.kind, {
    opened, sentBytes: sum(tallies, ({ sentBytes }) => sentBytes), receivedBytes: sum(tallies, ({ receivedBytes }) => receivedBytes),
  }, difference(readings.before, readings.after))
  const failure = failures > 0 ? `${failures} failed: ${firstFailure ?? 'unknown'}` : mismatch
  const perSecond = operationsPerSecond(readings)
  const leftOpen = sum(readings.after, ({ open }) => open) - standing
  const caveats = [
    ...(cores.busiestGeneratorThread > fullCore ? ['generator full'] : []),
    ...(cores.busiestBackendProcess > fullCore ? ['backend full'] : []),
    ...(cores.idleShare < fullMachineIdleShare ? ['machine full'] : []),
    ...(spec.kind === 'paced' && perSecond < behindShare * spec.requestsPerSecond ? [`only ${Math.round(perSecond)} requests/s`] : []),
    ...(leftOpen > 0 ? [`${leftOpen} upstream connections stayed open after the clients' resets`] : []),
  ]
  const relayCores = hasRelay ? cores.relay : undefined
  return {
    metrics: defined({
      ...ratesOf(spec.kind, perSecond, relayCores),
      ...(spec.kind === 'echo' && perSecond > 0 ? { machineCpuUsPerRequest: cores.used / perSecond * 1e6 } : {}),
      ...latenciesOf(readings),
      ...memoryOf(readings, opened),
      ...(spec.kind === 'idle' ? { idleCpuPercent: relayCores === undefined ? undefined : relayCores * 100 } : {}),
      relayCores,
      generatorCores: cores.generator,
      backendCores: cores.backend,
      otherCores: cores.other,
    }),
    ...(spec.kind === 'echo' ? distributionOf(tallies) : {}),
    caveats,
    ...(failure === undefined ? {} : { failure }),
  }
}

function coresOf({ open, close, tallies }: Readings) {
  const seconds = (close.atMs - open.atMs) / 1000
  const generatorThreads = tallies.map(({ cpuMs, windowMs }) => cpuMs / windowMs)
  const backendProcesses = close.backends.map((end, index) => {
    const start = open.backends[index]
    return start === undefined ? 0 : (end.cpuMs - start.cpuMs) / (end.atMs - start.atMs)
  })
  const [relay, backend] = [(close.relayCpuSeconds - open.relayCpuSeconds) / seconds, sum(backendProcesses, (each) => each)]
  const [used, idle] = [close.machine.usedSeconds - open.machine.usedSeconds, close.machine.idleSeconds - open.machine.idleSeconds]
  const own = (close.ownCpuSeconds - open.ownCpuSeconds) / seconds
  return {
    /** Of all processes, and of the kernel's own threads, which work for whom nobody can tell. */
    used: used / seconds,
    relay,
    backend,
    generator: sum(generatorThreads, (each) => each),
    busiestGeneratorThread: Math.max(...generatorThreads),
    busiestBackendProcess: Math.max(...backendProcesses),
    /** Of processes that have nothing to do with this; more than a little spoils the figures. */
    other: Math.max(0, used / seconds - relay - backend - own),
    idleShare: idle / (used + idle),
  }
}

function operationsPerSecond({ workload: { spec }, tallies, open, close }: Readings): number {
  if (spec.kind !== 'upload') return sum(tallies, ({ operations, windowMs }) => operations / windowMs * 1000)
  return sum(close.backends.map((end, index) => {
    const start = open.backends[index]
    return start === undefined ? 0 : (end.receivedBytes - start.receivedBytes) / (end.atMs - start.atMs) * 1000
  }), (each) => each)
}

function ratesOf(kind: Workload['spec']['kind'], perSecond: number, relayCores: number | undefined): Possibly<Metrics> {
  const cpuSecondsEach = relayCores === undefined || perSecond === 0 ? undefined : relayCores / perSecond
  const scaled = (factor: number): number | undefined => cpuSecondsEach === undefined ? undefined : cpuSecondsEach * factor
  switch (kind) {
    case 'echo':
    case 'paced':
      return { requestsPerSecond: perSecond, cpuUsPerRequest: scaled(1e6) }
    case 'connect':
      return { connectionsPerSecond: perSecond, cpuUsPerConnection: scaled(1e6) }
    case 'download':
    case 'upload':
      return { gigabytesPerSecond: perSecond / 1e9, cpuSecondsPerGigabyte: scaled(1e9) }
    case 'idle':
      return {}
    default: {
      const never: never = kind
      throw new Error(`bug: no load ${String(never)}`)
    }
  }
}

function distributionOf(tallies: readonly LoadTally[]): Pick<Measured, 'latencyUs'> {
  const latency = createLatencyHistogram()
  for (const tally of tallies) latency.add(tally.latency)
  if (latency.count === 0) return {}
  return { latencyUs: latencyShares.map((share) => (share === 0 ? latency.min : latency.percentile(share * 100)) / 1_000) }
}

function latenciesOf({ workload: { spec }, tallies }: Readings): Possibly<Metrics> {
  const [latency, sendDelay] = [createLatencyHistogram(), createLatencyHistogram()]
  for (const tally of tallies) {
    latency.add(tally.latency)
    sendDelay.add(tally.sendDelay)
  }
  if (latency.count === 0) return {}
  const us = (percentile: number): number => latency.percentile(percentile) / 1000
  return {
    p50Us: us(50), p90Us: us(90), p99Us: us(99), p999Us: us(99.9), maxUs: latency.max / 1000,
    ...(spec.kind === 'paced' ? { generatorLateP50Us: sendDelay.percentile(50) / 1000, generatorLateP99Us: sendDelay.percentile(99) / 1000 } : {}),
  }
}

function memoryOf({ workload: { spec }, hasRelay, pssBeforeBytes, pssAfterBytes }: Readings, opened: number): Possibly<Metrics> {
  if (!hasRelay || pssAfterBytes === undefined) return {}
  const grown = spec.kind === 'idle' && pssBeforeBytes !== undefined && opened > 0 ? (pssAfterBytes - pssBeforeBytes) / 1024 / opened : undefined
  return { memoryMib: pssAfterBytes / mebibyte, idleKibPerConnection: grown }
}

type Possibly<T> = { readonly [K in keyof T]: T[K] | undefined }

function defined(metrics: Possibly<Metrics>): Metrics {
  return Object.fromEntries(Object.entries(metrics).filter(([, value]) => value !== undefined)) as Metrics
}

function difference(before: readonly BackendCounters[], after: readonly BackendCounters[]): Pick<BackendCounters, 'connections' | 'sentBytes' | 'receivedBytes'> {
  const of = (field: 'connections' | 'sentBytes' | 'receivedBytes'): number => sum(after, (each) => each[field]) - sum(before, (each) => each[field])
  return { connections: of('connections'), sentBytes: of('sentBytes'), receivedBytes: of('receivedBytes') }
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0)
}
