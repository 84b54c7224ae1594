// One measurement: one load on one target.
//
//   connections opened │ warm-up │ window: CPU, counters and clocks read at both edges │ the rest of the answers, resets

import { setTimeout as delay } from 'node:timers/promises'
import { conclude, type Edge, type Measured } from './conclude.ts'
import type { BackendCounters } from './load/backend-protocol.ts'
import type { Backends } from './load/backends.ts'
import type { Generator } from './load/generator.ts'
import type { LoadTarget } from './load/load.ts'
import { cpuSeconds, machineCpu, processTree, pssBytes } from './proc.ts'
import type { Workload } from './workload.ts'

const settleTimeoutMs = 3_000

export interface MeasureOptions {
  readonly workload: Pick<Workload, 'spec'>
  readonly target: LoadTarget
  /** The relay's first processes; none for a direct connection. */
  readonly relayPids: readonly number[]
  readonly generator: Generator
  readonly backends: Backends
  readonly warmUpMs: number
  readonly durationMs: number
  /** Before load begins, its connections being open: what the backend counts meanwhile is not the load's. */
  readonly interlude?: () => Promise<void>
  /** Connections to the backend that stay when the load's have ended. @default 0 */
  readonly standing?: () => number
  /** What runs beside the load: its window is the load's. */
  readonly beside?: () => Windowed | undefined
}

export interface Windowed {
  openWindow(): Promise<void>
  closeWindow(): Promise<void>
}

export async function measure(options: MeasureOptions): Promise<Measured> {
  const { workload, target, relayPids, generator, backends, warmUpMs, durationMs, interlude, standing = () => 0, beside = () => undefined } = options
  let before = await backends.counters()
  const pids = relayPids.flatMap(processTree)
  const pssBeforeBytes = pssBytes(pids)
  await generator.prepare(workload.spec, target)
  if (interlude !== undefined) {
    const start = await backends.counters()
    await interlude()
    before = shifted(before, start, await backends.counters())
  }
  await generator.start()
  await delay(warmUpMs)
  await Promise.all([generator.openWindow(), beside()?.openWindow()])
  const open = await readEdge(pids, backends)
  await delay(durationMs)
  const close = await readEdge(pids, backends)
  await Promise.all([generator.closeWindow(), beside()?.closeWindow()])
  const pssAfterBytes = pssBytes(pids)
  const tallies = await generator.finish()
  const after = await backends.settle(settleTimeoutMs, standing())
  return conclude({ workload, tallies, before, open, close, after, standing: standing(), hasRelay: relayPids.length > 0, pssBeforeBytes, pssAfterBytes })
}

/** @returns `before` with what was counted from `start` to `end` added to it */
function shifted(before: readonly BackendCounters[], start: readonly BackendCounters[], end: readonly BackendCounters[]): readonly BackendCounters[] {
  const by = (index: number, field: 'connections' | 'receivedBytes' | 'sentBytes'): number => (end[index]?.[field] ?? 0) - (start[index]?.[field] ?? 0)
  return before.map((counters, index) => ({
    ...counters,
    connections: counters.connections + by(index, 'connections'),
    receivedBytes: counters.receivedBytes + by(index, 'receivedBytes'),
    sentBytes: counters.sentBytes + by(index, 'sentBytes'),
  }))
}

async function readEdge(pids: readonly number[], backends: Backends): Promise<Edge> {
  const { user, system } = process.cpuUsage()
  return {
    atMs: performance.now(),
    relayCpuSeconds: cpuSeconds(pids),
    machine: machineCpu(),
    ownCpuSeconds: (user + system) / 1e6,
    backends: await backends.counters(),
  }
}
