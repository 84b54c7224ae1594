// One measurement: one load on one target.
//
//   connections opened │ warm-up │ window: CPU, counters and clocks read at both edges │ the rest of the answers, resets

import { setTimeout as delay } from 'node:timers/promises'
import { conclude, type Edge, type Measured } from './conclude.ts'
import type { Backends } from './load/backends.ts'
import type { Generator } from './load/generator.ts'
import type { LoadTarget } from './load/load.ts'
import { cpuSeconds, machineCpu, processTree, pssBytes } from './proc.ts'
import type { Workload } from './workload.ts'

const settleTimeoutMs = 3_000

export interface MeasureOptions {
  readonly workload: Workload
  readonly target: LoadTarget
  /** The relay's first process; absent for a direct connection. */
  readonly relayPid?: number
  readonly generator: Generator
  readonly backends: Backends
  readonly warmUpMs: number
  readonly durationMs: number
}

export async function measure(options: MeasureOptions): Promise<Measured> {
  const { workload, target, relayPid, generator, backends, warmUpMs, durationMs } = options
  const before = await backends.counters()
  const pids = relayPid === undefined ? [] : processTree(relayPid)
  const pssBeforeBytes = pssBytes(pids)
  await generator.prepare(workload.spec, target)
  await generator.start()
  await delay(warmUpMs)
  await generator.openWindow()
  const open = await readEdge(pids, backends)
  await delay(durationMs)
  const close = await readEdge(pids, backends)
  await generator.closeWindow()
  const pssAfterBytes = pssBytes(pids)
  const tallies = await generator.finish()
  const after = await backends.settle(settleTimeoutMs)
  return conclude({ workload, tallies, before, open, close, after, hasRelay: relayPid !== undefined, pssBeforeBytes, pssAfterBytes })
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
