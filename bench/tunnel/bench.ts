// A bench of what has two ends: who is there is measured, told, and written down.

import { save, tell } from '../command.ts'
import { describeMachine } from '../machine.ts'
import { duration, progressLine } from '../report.ts'
import type { TunnelRunOptions } from './options.ts'
import type { TunnelPeer } from './peers/tunnel-peer.ts'
import { renderTunnelReport, type TunnelBenchResult } from './report.ts'
import { runTunnelSession } from './session.ts'
import type { TunnelWorkload } from './workloads.ts'

export interface TunnelBench {
  /** Of the report. */
  readonly title: string
  /** Of the results' files: `tunnel-`. */
  readonly prefix: string
  readonly options: TunnelRunOptions
  readonly peers: readonly TunnelPeer[]
  readonly workloads: readonly TunnelWorkload[]
  /** Of the backends. */
  readonly upstreamAddress: string
}

/** @returns the exit code */
export async function benchTunnels({ title, prefix, options, peers, workloads, upstreamAddress }: TunnelBench): Promise<number> {
  const found = peers.map((peer) => ({ name: peer.name, settings: peer.settings, installation: peer.find() }))
  const absent = found.flatMap(({ name, installation }) => (typeof installation === 'string' ? [{ name, reason: installation }] : []))
  const candidates = found.flatMap(({ name, settings, installation }) => (typeof installation === 'string' ? [] : [{ name, settings, version: installation.version, installation }]))
  for (const { name, reason } of absent) tell(`${name}: ${reason}`)
  if (candidates.length === 0) {
    tell('nothing is left to measure')
    return 1
  }
  tell(`${options.runs} runs × ${workloads.map(({ name }) => name).join(', ')} × ${candidates.map(({ name }) => name).join(', ')}`)
  const startedAt = new Date().toISOString()
  const startedMs = performance.now()
  const { measurements, problems } = await runTunnelSession({
    options, workloads, candidates, upstreamAddress,
    onMeasurement: (measurement) => {
      const columns = workloads.find(({ name }) => name === measurement.workload)?.columns ?? []
      const place = `${duration((performance.now() - startedMs) / 1000).padStart(9)}  run ${measurement.run}/${options.runs}  ${measurement.workload.padEnd(14)} ${measurement.target.padEnd(14)}`
      tell(`${place} ${progressLine(measurement, columns)}`)
    },
  })
  const result: TunnelBenchResult = {
    title, startedAt, tookSeconds: (performance.now() - startedMs) / 1000, machine: describeMachine(), options,
    targets: candidates.map(({ name, version, settings }) => ({ name, version, settings })), absent, workloads, measurements, problems,
  }
  save({ prefix, startedAt, result, report: renderTunnelReport(result), ...options })
  return problems.length > 0 || measurements.some(({ failure }) => failure !== undefined) ? 1 : 0
}
