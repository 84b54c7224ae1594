// Runs, and in each run each interval, directly and through the gateway: on a segment of its own, whose tables are empty at first.

import { join } from 'node:path'
import { mkdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Launch } from '../peers/peer.ts'
import { sluiceLaunch } from '../peers/sluice.ts'
import { RelayProcess } from '../peers/relay-process.ts'
import { direct, type Measurement, own } from '../result.ts'
import { ApiServers, apiServerPort, serverNameOf } from './api-servers.ts'
import { Calls } from './calls.ts'
import { conclude, type Reading } from './conclude.ts'
import type { NeighboursOptions } from './options.ts'
import { gatewayAddress, type Host, Segment } from './segment.ts'

const gatewayPort = 6443
/** Of loopback, which is the bench's own. */
const adminPort = 9443

/** In the order of the tables. */
export const targets = [direct, own] as const
type Target = typeof targets[number]

export interface NeighboursMeasurement extends Measurement {
  readonly readings: readonly Reading[]
}

/** The `workload` of its measurements. */
export function workloadOf(intervalMs: number): string {
  return `every-${intervalMs / 1000}s`
}

export interface SessionPlace {
  /** For the gateway's files. */
  readonly directory: string
  readonly onMeasurement: (measurement: NeighboursMeasurement) => void
}

/** @throws an error that says what could not be built or started */
export async function runNeighboursSession(options: NeighboursOptions, { directory, onMeasurement }: SessionPlace): Promise<void> {
  for (let run = 1; run <= options.runs; run += 1) {
    for (const intervalMs of options.intervalsMs) {
      for (const target of targets) {
        const place = join(directory, `${run}-${workloadOf(intervalMs)}`)
        const segment = await Segment.build(options)
        try {
          onMeasurement({ run, target, workload: workloadOf(intervalMs), ...await measure({ segment, target, intervalMs, options, directory: place }) })
        } finally {
          segment.close()
        }
      }
    }
  }
}

interface Measuring {
  readonly segment: Segment
  readonly target: Target
  readonly intervalMs: number
  readonly options: NeighboursOptions
  readonly directory: string
}

async function measure({ segment, target, intervalMs, options, directory }: Measuring): Promise<Omit<NeighboursMeasurement, 'run' | 'target' | 'workload'>> {
  const apiServers = await ApiServers.start(segment.apiServers)
  let gateway: RelayProcess | undefined
  try {
    if (target === own) gateway = await startGateway(segment.apiServers, directory)
    const calls = new Calls({
      nodes: segment.nodes, apiServers: segment.apiServers.length, caPem: apiServers.caPem, intervalMs,
      addressOf: (index) => (target === own ? { address: gatewayAddress, port: gatewayPort } : { address: addressOf(segment.apiServers, index), port: apiServerPort }),
    })
    const { readings, counts } = await readWhile(segment, calls, options)
    if (gateway?.ending !== undefined) throw new Error(`the gateway ended by itself: ${gateway.ending}\n${gateway.logTail}`)
    return { ...conclude(readings, options.nodes * options.apiServers, counts), readings }
  } finally {
    await gateway?.stop()
    await apiServers.stop()
  }
}

async function readWhile(segment: Segment, calls: Calls, { durationMs, readEveryMs }: NeighboursOptions) {
  const startMs = performance.now()
  const readings: Reading[] = []
  const read = (): void => void readings.push({ atMs: performance.now() - startMs, calls: calls.ended, ...segment.read() })
  read()
  const running = calls.run(durationMs)
  for (let atMs = readEveryMs; atMs <= durationMs; atMs += readEveryMs) {
    await delay(Math.max(0, startMs + atMs - performance.now()))
    read()
  }
  return { readings, counts: await running }
}

async function startGateway(apiServers: readonly Host[], directory: string): Promise<RelayProcess> {
  mkdirSync(directory, { recursive: true })
  const routes = apiServers.map(({ address }, index) => ({ serverName: serverNameOf(index), endpoint: `${address}:${apiServerPort}` }))
  return await RelayProcess.start('sluice gateway', endingWithBench(sluiceLaunch({ directory, listenPort: gatewayPort, adminPort, routes }, { listenAddress: gatewayAddress })), { directory })
}

/** Also when that is killed (prctl(2)): its network is the bench's, and would stay. */
function endingWithBench({ executable, arguments_, ...launch }: Launch): Launch {
  return { ...launch, executable: 'setpriv', arguments_: ['--pdeathsig', 'KILL', executable, ...arguments_] }
}

function addressOf(hosts: readonly Host[], index: number): string {
  const host = hosts[index]
  if (host === undefined) throw new Error(`bug: no API server ${index}`)
  return host.address
}
