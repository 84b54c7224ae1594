// npm run bench: from the command line to a plan, measurements, a table and an exit code.

import { runCommand, save, tell } from './command.ts'
import { renderLatencyPlot } from './latency-plot.ts'
import { describeMachine, holdCpuLatency, keepOffCores } from './machine.ts'
import { type Options, parseOptions, usage } from './options.ts'
import { allPeers } from './peers/all.ts'
import type { Installation } from './peers/peer.ts'
import { columnsOf } from './metrics.ts'
import { duration, progressLine, renderReport } from './report.ts'
import { type BenchResult, direct, type Measurement, type TargetFacts } from './result.ts'
import { runSession } from './session.ts'
import { expectedMs, misfitOf, type Workload, workloadsOf } from './workload.ts'

const targetNames = [direct, ...allPeers.map(({ name }) => name)]
/** Of all the relays, one after another. Only for the estimate. */
const startMs = 1_500
/** Of one relay. Only for the estimate. */
const startMsPerHostname = 0.05

interface Candidate extends TargetFacts {
  readonly installation?: Installation
}

const withoutRelay: Candidate = { name: direct, relay: direct, hostnames: 0, version: '–', settings: 'no relay: the generator and the backend by themselves' }

function findCandidates({ targets, hostnames: counts }: Options): { candidates: Candidate[], absent: { name: string, reason: string }[] } {
  const candidates: Candidate[] = targets.includes(direct) ? [withoutRelay] : []
  const absent: { name: string, reason: string }[] = []
  for (const peer of allPeers.filter(({ name }) => targets.includes(name))) {
    const { name: relay, settings, hostnamesMax = Number.POSITIVE_INFINITY } = peer
    const installation = peer.find()
    if (typeof installation === 'string') {
      absent.push({ name: relay, reason: installation })
      continue
    }
    for (const hostnames of counts) {
      const name = counts.length === 1 ? relay : `${relay}-${hostnames}`
      if (hostnames <= hostnamesMax) candidates.push({ name, relay, hostnames, settings, version: installation.version, installation })
      else absent.push({ name, reason: `takes minutes to start with more than ${hostnamesMax.toLocaleString('en')} hostnames` })
    }
  }
  return { candidates, absent }
}

function splitByLimit(workloads: readonly Workload[], descriptorLimit: number): Pick<BenchResult, 'workloads' | 'skipped'> {
  const judged = workloads.map((workload) => ({ workload, reason: misfitOf(workload, descriptorLimit) }))
  return {
    workloads: judged.filter(({ reason }) => reason === undefined).map(({ workload }) => workload),
    skipped: judged.flatMap(({ workload, reason }) => (reason === undefined ? [] : [{ workload: workload.name, reason }])),
  }
}

async function bench(options: Options): Promise<number> {
  const machine = describeMachine()
  const { candidates, absent } = findCandidates(options)
  const { workloads, skipped } = splitByLimit(workloadsOf(options), machine.descriptorLimit)
  for (const { name, reason } of absent) tell(`${name}: ${reason}`)
  for (const { workload, reason } of skipped) tell(`${workload} is left out: ${reason}`)
  if (workloads.length === 0 || candidates.length === 0) {
    tell('nothing is left to measure')
    return 1
  }
  const startsMs = candidates.reduce((sum, { hostnames }) => sum + startMsPerHostname * hostnames, startMs)
  const estimateMs = options.runs * (startsMs + candidates.length * workloads.reduce((sum, workload) => sum + expectedMs(workload, options), 0))
  tell(`${options.runs} runs × ${workloads.map(({ name }) => name).join(', ')} × ${candidates.map(({ name }) => name).join(', ')}: some ${duration(estimateMs / 1000)}`)
  if (options.relayCores !== undefined) keepOffCores(options.relayCores)
  const letGo = options.cpuLatencyUs === undefined ? undefined : holdCpuLatency(options.cpuLatencyUs)
  const startedAt = new Date().toISOString()
  const startedMs = performance.now()
  const { measurements, problems } = await runSession({
    options, workloads, candidates,
    onMeasurement: (measurement) => tellProgress(measurement, workloads, options, performance.now() - startedMs),
  })
  letGo?.()
  const targets = candidates.map(({ name, relay, hostnames, version, settings }) => ({ name, relay, hostnames, version, settings }))
  const tookSeconds = (performance.now() - startedMs) / 1000
  const result: BenchResult = { startedAt, tookSeconds, machine, options, targets, absent, workloads, skipped, measurements, problems }
  save({ prefix: '', startedAt, result, report: renderReport(result), plot: renderLatencyPlot(result), ...options })
  return problems.length > 0 || measurements.some(({ failure }) => failure !== undefined) ? 1 : 0
}

function tellProgress(measurement: Measurement, workloads: readonly Workload[], { runs }: Options, elapsedMs: number): void {
  const workload = workloads.find(({ name }) => name === measurement.workload)
  if (workload === undefined) return
  const place = `${duration(elapsedMs / 1000).padStart(9)}  run ${measurement.run}/${runs}  ${workload.name.padEnd(10)} ${measurement.target.padEnd(14)}`
  tell(`${place} ${progressLine(measurement, columnsOf[workload.spec.kind])}`)
}

await runCommand({ name: 'bench', parse: (args) => parseOptions(args, targetNames), usage: usage(targetNames), run: bench })
