// A whole bench of tunnels: starts everything, measures round after round, ends everything.
//
//   for each run            all ends are started anew
//     for each workload
//       for each tunnel     in an order that turns by one with each run: what the machine does otherwise hits all

import { join } from 'node:path'
import { createCa } from '../../src/cli/demo/certificates.ts'
import type { Measured } from '../conclude.ts'
import { Backends } from '../load/backends.ts'
import { Generator } from '../load/generator.ts'
import { RelayStartError } from '../peers/relay-process.ts'
import type { Measurement } from '../result.ts'
import { turned } from '../session.ts'
import { inWorkFolder } from '../work-folder.ts'
import { measureTunnel } from './measure.ts'
import type { TunnelRunOptions } from './options.ts'
import type { TunnelFacts, TunnelInstallation } from './peers/tunnel-peer.ts'
import { TunnelTarget } from './tunnel-target.ts'
import type { TunnelWorkload } from './workloads.ts'

export interface TunnelSessionOptions {
  readonly options: TunnelRunOptions
  readonly workloads: readonly TunnelWorkload[]
  readonly candidates: readonly { readonly name: string, readonly installation: TunnelInstallation }[]
  /** Of the backends. */
  readonly upstreamAddress: string
  readonly onMeasurement: (measurement: Measurement) => void
}

export async function runTunnelSession(session: TunnelSessionOptions): Promise<{ readonly measurements: readonly Measurement[], readonly problems: readonly string[] }> {
  return await inWorkFolder(async (directory) => await runIn(directory, session))
}

async function runIn(directory: string, { options, workloads, candidates, upstreamAddress, onMeasurement }: TunnelSessionOptions): Promise<TunnelSession> {
  // However the bench ends: ends and backends have exit handlers of their own.
  process.setMaxListeners(process.getMaxListeners() + 2 * candidates.length)
  const generator = new Generator(1)
  const { backends, ports } = await Backends.start({ processes: 1, sets: candidates.length, address: upstreamAddress })
  const certificate = issueCertificate()
  const targets = candidates.map(({ name, installation }, index) => {
    const upstreamPort = ports[index]?.byGreeting
    if (upstreamPort === undefined) throw new Error('bug: a tunnel without a backend')
    return new TunnelTarget({ name, installation, upstreamAddress, upstreamPort, directory: join(directory, name), certificate })
  })
  const session = new TunnelSession({ options, generator, backends, onMeasurement })
  try {
    for (let run = 1; run <= options.runs; run += 1) await session.run(run, workloads, targets)
  } finally {
    await Promise.all(targets.map((target) => target.stop()))
    await generator.stop()
    backends.stop()
  }
  return session
}

/** All tunnels have the same one, where they have TLS of that kind. */
export function issueCertificate(): TunnelFacts['certificate'] {
  const ca = createCa('bench CA')
  return { caPem: ca.certificatePem, ...ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] }) }
}

interface Parts {
  readonly options: TunnelRunOptions
  readonly generator: Generator
  readonly backends: Backends
  readonly onMeasurement: (measurement: Measurement) => void
}

class TunnelSession {
  readonly measurements: Measurement[] = []
  readonly problems: string[] = []
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async run(run: number, workloads: readonly TunnelWorkload[], all: readonly TunnelTarget[]): Promise<void> {
    const targets = turned(all, run - 1)
    for (const target of targets) await target.stop()
    for (const workload of workloads) {
      for (const target of targets) await this.#measure(run, workload, target)
    }
    await Promise.all(targets.map((target) => target.stop()))
  }

  async #measure(run: number, workload: TunnelWorkload, target: TunnelTarget): Promise<void> {
    const isReady = (target.isUp && !workload.isFresh && target.roundTripMs === workload.roundTripMs) || await this.#start(run, target, workload.roundTripMs)
    const measured: Measured = isReady ? await measureTunnel({ workload, target, ...this.#parts }) : { metrics: {}, caveats: [], failure: 'it did not start' }
    const result = { run, target: target.name, workload: workload.name, ...measured }
    this.measurements.push(result)
    this.#parts.onMeasurement(result)
    if (target.ending !== undefined) this.problems.push(`run ${run}, ${workload.name}: an end of ${target.name} ended by itself (${target.ending})`)
    // What stalled readers, a log and dials have left behind is nobody else's.
    if (workload.stalled > 0 || workload.besideLog || workload.pending !== undefined) await target.stop()
  }

  async #start(run: number, target: TunnelTarget, roundTripMs: number): Promise<boolean> {
    try {
      await target.start(roundTripMs)
      return true
    } catch (error) {
      if (!(error instanceof RelayStartError)) throw error
      this.problems.push(`run ${run}: ${error.message}`)
      return false
    }
  }
}
