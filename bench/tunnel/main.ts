// npm run bench:tunnel: from the command line to measurements, tables and an exit code.

import { initialWindowBytes, WindowBudget } from '../../src/core/mux/window.ts'
import { runCommand, save, tell } from '../command.ts'
import { describeMachine } from '../machine.ts'
import { duration, progressLine } from '../report.ts'
import { parseTunnelOptions, type TunnelOptions, tunnelUsage } from './options.ts'
import { allTunnelPeers } from './peers/all.ts'
import { renderTunnelReport, type TunnelBenchResult } from './report.ts'
import { runTunnelSession } from './session.ts'
import { tunnelWorkloads } from './workloads.ts'

const peerNames = allTunnelPeers.map(({ name }) => name)

async function bench(options: TunnelOptions): Promise<number> {
  const found = allTunnelPeers.filter(({ name }) => options.peers.includes(name)).map((peer) => ({ name: peer.name, settings: peer.settings, installation: peer.find() }))
  const absent = found.flatMap(({ name, installation }) => (typeof installation === 'string' ? [{ name, reason: installation }] : []))
  const candidates = found.flatMap(({ name, settings, installation }) => (typeof installation === 'string' ? [] : [{ name, settings, version: installation.version, installation }]))
  for (const { name, reason } of absent) tell(`${name}: ${reason}`)
  if (candidates.length === 0) {
    tell('nothing is left to measure')
    return 1
  }
  const workloads = tunnelWorkloads(options, { initialBytes: initialWindowBytes, growthBytes: new WindowBudget().limitBytes })
  tell(`${options.runs} runs × ${workloads.map(({ name }) => name).join(', ')} × ${candidates.map(({ name }) => name).join(', ')}`)
  const startedAt = new Date().toISOString()
  const startedMs = performance.now()
  const { measurements, problems } = await runTunnelSession({
    options, workloads, candidates,
    onMeasurement: (measurement) => {
      const columns = workloads.find(({ name }) => name === measurement.workload)?.columns ?? []
      const place = `${duration((performance.now() - startedMs) / 1000).padStart(9)}  run ${measurement.run}/${options.runs}  ${measurement.workload.padEnd(14)} ${measurement.target.padEnd(14)}`
      tell(`${place} ${progressLine(measurement, columns)}`)
    },
  })
  const result: TunnelBenchResult = {
    startedAt, tookSeconds: (performance.now() - startedMs) / 1000, machine: describeMachine(), options,
    targets: candidates.map(({ name, version, settings }) => ({ name, version, settings })), absent, workloads, measurements, problems,
  }
  save({ prefix: 'tunnel-', startedAt, result, report: renderTunnelReport(result), ...options })
  return problems.length > 0 || measurements.some(({ failure }) => failure !== undefined) ? 1 : 0
}

await runCommand({ name: 'bench:tunnel', parse: (args) => parseTunnelOptions(args, peerNames), usage: tunnelUsage(peerNames), run: bench })
