// A whole bench: starts everything, measures round after round, ends everything.
//
//   for each run            relays are started anew
//     for each workload
//       for each target     in an order that turns by one with each run: what the machine does otherwise hits all

import { join } from 'node:path'
import type { Measured } from './conclude.ts'
import { Backends } from './load/backends.ts'
import { captureClientHello } from './load/client-hello.ts'
import { Generator } from './load/generator.ts'
import { measure } from './measure.ts'
import type { Options } from './options.ts'
import type { Installation } from './peers/peer.ts'
import { RelayStartError } from './peers/relay-process.ts'
import type { BenchResult, Measurement } from './result.ts'
import { serverNameOf } from './routes.ts'
import { Target } from './target.ts'
import { inWorkFolder } from './work-folder.ts'
import type { Workload } from './workload.ts'

export interface SessionOptions {
  readonly options: Options
  readonly workloads: readonly Workload[]
  /** Without an installation: direct. */
  readonly candidates: readonly { readonly name: string, readonly hostnames: number, readonly installation?: Installation }[]
  readonly onMeasurement: (measurement: Measurement) => void
}

type Hellos = Readonly<Record<Workload['role'], Buffer>>

export async function runSession(session: SessionOptions): Promise<Pick<BenchResult, 'measurements' | 'problems'>> {
  return await inWorkFolder(async (directory) => await runIn(directory, session))
}

async function runIn(directory: string, { options, workloads, candidates, onMeasurement }: SessionOptions): Promise<Session> {
  // However the bench ends: relays and backends have exit handlers of their own.
  process.setMaxListeners(process.getMaxListeners() + candidates.length)
  const generator = new Generator(options.threads)
  const { backends, ports } = await Backends.start({ processes: options.threads, sets: candidates.length })
  const connectionsMax = Math.max(...workloads.map(({ spec }) => spec.connections)) + 100
  const targets = candidates.flatMap(({ name, hostnames, installation }, index) => {
    const backendPorts = ports[index]
    if (backendPorts === undefined) throw new Error('bug: a target without backends')
    return new Target({ name, backendPorts, directory: join(directory, name), connectionsMax, hostnames, ...(installation === undefined ? {} : { installation }), ...(options.relayCores === undefined ? {} : { cores: options.relayCores }) })
  })
  const session = new Session({ options, generator, backends, hellos: await captureHellos(), onMeasurement })
  try {
    for (let run = 1; run <= options.runs; run += 1) await session.run(run, workloads, targets)
  } finally {
    await Promise.all(targets.map((target) => target.stop()))
    await generator.stop()
    backends.stop()
  }
  return session
}

async function captureHellos(): Promise<Hellos> {
  const of = async (role: Workload['role']): Promise<Buffer> => await captureClientHello(serverNameOf(role))
  return { echo: await of('echo'), source: await of('source'), sink: await of('sink') }
}

interface Parts {
  readonly options: Options
  readonly generator: Generator
  readonly backends: Backends
  readonly hellos: Hellos
  readonly onMeasurement: (measurement: Measurement) => void
}

class Session {
  readonly measurements: Measurement[] = []
  readonly problems: string[] = []
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async run(run: number, workloads: readonly Workload[], all: readonly Target[]): Promise<void> {
    const targets: Target[] = []
    for (const target of turned(all, run - 1)) if (await this.#start(run, target)) targets.push(target)
    for (const workload of workloads) {
      for (const target of targets) if (target.isUp) await this.#measure(run, workload, target)
    }
    await Promise.all(targets.map((target) => target.stop()))
  }

  async #measure(run: number, workload: Workload, target: Target): Promise<void> {
    const isIdle = workload.spec.kind === 'idle'
    if (isIdle && target.isDirect) return
    const measurement = { run, target: target.name, workload: workload.name }
    // Memory that earlier load has left to the allocator would be there for the idle connections.
    const measured: Measured = isIdle && !await this.#start(run, target)
      ? { metrics: {}, caveats: [], failure: 'the relay did not start' }
      : await this.#load(workload, target)
    const result = { ...measurement, ...measured }
    this.measurements.push(result)
    this.#parts.onMeasurement(result)
    if (target.ending === undefined) return
    this.problems.push(`run ${run}, ${workload.name}: ${target.name} ended by itself (${target.ending}); started again`)
    await this.#start(run, target)
  }

  async #load(workload: Workload, target: Target): Promise<Measured> {
    const { generator, backends, hellos, options } = this.#parts
    return await measure({
      workload, generator, backends,
      target: { port: target.portFor(workload.role), hello: hellos[workload.role] },
      relayPids: target.relayPids,
      warmUpMs: options.warmUpMs,
      durationMs: options.durationMs,
    })
  }

  async #start(run: number, target: Target): Promise<boolean> {
    try {
      await target.start()
      return true
    } catch (error) {
      if (!(error instanceof RelayStartError)) throw error
      this.problems.push(`run ${run}: ${error.message}`)
      return false
    }
  }
}

export function turned<T>(values: readonly T[], by: number): readonly T[] {
  const first = by % values.length
  return [...values.slice(first), ...values.slice(0, first)]
}
