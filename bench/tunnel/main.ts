// npm run bench:tunnel: from the command line to measurements, tables and an exit code.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { initialWindowBytes, WindowBudget } from '../../src/core/mux/window.ts'
import { describeMachine } from '../machine.ts'
import { OptionsError } from '../options.ts'
import { duration, progressLine } from '../report.ts'
import { parseTunnelOptions, type TunnelOptions, tunnelUsage } from './options.ts'
import { allTunnelPeers } from './peers/all.ts'
import { renderTunnelReport, type TunnelBenchResult } from './report.ts'
import { runTunnelSession } from './session.ts'
import { tunnelWorkloads } from './workloads.ts'

const peerNames = allTunnelPeers.map(({ name }) => name)
const resultsDirectory = fileURLToPath(new URL('../results/', import.meta.url))

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
  save(options, {
    startedAt, tookSeconds: (performance.now() - startedMs) / 1000, machine: describeMachine(), options,
    targets: candidates.map(({ name, version, settings }) => ({ name, version, settings })), absent, workloads, measurements, problems,
  })
  return problems.length > 0 || measurements.some(({ failure }) => failure !== undefined) ? 1 : 0
}

function save(options: TunnelOptions, result: TunnelBenchResult): void {
  const report = renderTunnelReport(result)
  const base = `${resultsDirectory}tunnel-${result.startedAt.slice(0, 19).replaceAll(':', '-')}`
  const { jsonFile = `${base}.json`, markdownFile = `${base}.md` } = options
  for (const [file, text] of [[jsonFile, `${JSON.stringify(result, undefined, 2)}\n`], [markdownFile, report]] as const) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  process.stdout.write(report)
  tell(`\nwritten to ${jsonFile} and ${markdownFile}`)
}

/** The tables go to standard output, all else here. */
function tell(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseTunnelOptions(args, peerNames)
    if (options !== undefined) return await bench(options)
    process.stdout.write(tunnelUsage(peerNames))
    return 0
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error
    tell(`bench:tunnel: ${error.message}\n--help tells more`)
    return 2
  }
}

if (process.platform !== 'linux') {
  tell('bench:tunnel: CPU and memory are read from /proc, so it takes Linux')
  process.exit(1)
}
// An exit runs the handlers that end processes and remove files.
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) process.once(signal, () => process.exit(code))
process.exitCode = await main(process.argv.slice(2))
