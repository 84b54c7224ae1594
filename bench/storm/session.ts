// Runs, and in each run each target: steady requests alone, and then with the storm or the attack beside them.
//
//   relay started │ rehearsal: as the second window, and nothing counts │ steady connections, warm-up, calm window │ steady connections, warm-up, window ──────── │ the rest of the storm
//                                                                                                                                         └ storm or attack begins

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Backends } from '../load/backends.ts'
import { captureClientHello } from '../load/client-hello.ts'
import { Generator } from '../load/generator.ts'
import { measure } from '../measure.ts'
import type { Metrics } from '../metrics.ts'
import { RelayProcess, RelayStartError } from '../peers/relay-process.ts'
import { droppedPackets, peakBytes, processTree, pssBytes } from '../proc.ts'
import type { Measurement } from '../result.ts'
import { turned } from '../session.ts'
import { freePort } from '../free-port.ts'
import type { AttackTally } from './attack.ts'
import { attackFigures, stormFigures } from './conclude.ts'
import type { CrowdTally } from './crowd.ts'
import type { Mode, StormOptions } from './options.ts'
import { Side } from './side.ts'
import { perSourcePerSecond, type StormTarget } from './targets.ts'
import { attackedName, crowdShares, newcomersName, steadyName, stormRoutes } from './tenants.ts'

const payloadBytes = 128
/** A client that was refused again and again waits for up to a minute. */
const stormMsMax = 60_000
const pollMs = 20
/** In the relay's own configuration, beside those that there are. */
const spareConnections = 200
const newcomersPerSecond = 10
/** Two connections of each, by default. */
const steadySources = Array.from({ length: 250 }, (_, index) => `127.2.0.${1 + index}`)
/** What attackers open over what an address may. */
const attackersTimesOver = 5
/** First bytes of attackers' addresses: a rehearsal leaves nothing behind for those that count. */
const networks = { rehearsal: '127.3.0', attack: '127.1.0' } as const
/** Of a rehearsed storm. */
const rehearsedClientsMax = 1_000
/** After it: what had been refused may come again. */
const restMs = 1_000
const mebibyte = 1024 * 1024

export interface StormMeasurement extends Measurement {
  /** Clients that are in, over time: for the plot. */
  readonly inAfterMs?: readonly number[]
}

export interface StormPlace {
  readonly directory: string
  readonly targetsOf: (mode: Mode) => readonly StormTarget[]
  readonly onMeasurement: (measurement: StormMeasurement) => void
}

/** @throws an error that says what could not be started */
export async function runStormSession(options: StormOptions, { directory, targetsOf, onMeasurement }: StormPlace): Promise<void> {
  const hellos = await captureHellos(options)
  for (let run = 1; run <= options.runs; run += 1) {
    for (const mode of options.modes) {
      for (const target of turned(targetsOf(mode), run - 1)) {
        const place = join(directory, `${run}-${mode}-${target.name}`)
        mkdirSync(place, { recursive: true })
        onMeasurement({ run, target: target.name, workload: mode, ...await measureTarget({ options, hellos, mode, target, directory: place }) })
      }
    }
  }
}

type Hellos = ReadonlyMap<string, Buffer>

async function captureHellos(options: StormOptions): Promise<Hellos> {
  const names = [steadyName, newcomersName, ...crowdShares(options).map(({ name }) => name)]
  const hellos = new Map<string, Buffer>()
  for (const name of names) hellos.set(name, await captureClientHello(name))
  return hellos
}

interface Measuring {
  readonly options: StormOptions
  readonly hellos: Hellos
  readonly mode: Mode
  readonly target: StormTarget
  readonly directory: string
}

type Result = Omit<StormMeasurement, 'run' | 'target' | 'workload'>

async function measureTarget({ options, hellos, mode, target, directory }: Measuring): Promise<Result> {
  // Two processes, so that an echo of a steady request does not wait for the crowd's server.
  const [steady, crowd] = await Promise.all([startBackend(), startBackend()])
  const [generator, side] = [new Generator(1), new Side()]
  let relay: RelayProcess | undefined
  try {
    const listenPort = await freePort()
    const { installation, limits } = target
    if (installation !== undefined) {
      const facts = {
        directory, listenPort, adminPort: await freePort(), limits,
        connectionsMax: options.steady + options.clients + spareConnections,
        routes: stormRoutes(options, { steady: steady.port, crowd: crowd.port }),
      }
      relay = await RelayProcess.start(target.name, installation.launch(facts), facts)
    }
    const pids = relay === undefined ? [] : [relay.pid]
    const steadyLoad = {
      workload: { spec: { kind: 'paced', connections: options.steady, payloadBytes, requestsPerSecond: options.requestsPerSecond } },
      target: { port: relay === undefined ? steady.port : listenPort, hello: helloOf(hellos, steadyName), sources: steadySources },
      relayPids: pids, generator, backends: steady.backends, warmUpMs: options.warmUpMs, durationMs: options.durationMs,
    } as const
    const port = relay === undefined ? crowd.port : listenPort
    if (options.rehearsalMs > 0) {
      const clients = Math.min(options.clients, rehearsedClientsMax)
      const beside = { openWindow: async () => await beginSide(side, { mode, options: { ...options, clients }, hellos, port, network: networks.rehearsal }), closeWindow: async () => undefined }
      await measure({ ...steadyLoad, durationMs: options.rehearsalMs, beside: () => beside })
      await (mode === 'storm' ? side.closeStorm() : side.closeAttack())
      await delay(restMs)
    }
    const calm = await measure(steadyLoad)
    const droppedBefore = droppedPackets()
    const beside = { openWindow: async () => await beginSide(side, { mode, options, hellos, port, network: networks.attack }), closeWindow: async () => undefined }
    const meanwhile = await measure({ ...steadyLoad, beside: () => beside })
    const dropped = droppedPackets() - droppedBefore
    const { figures, failure, inAfterMs } = mode === 'storm' ? await endStorm(side) : await endAttack(side)
    const ended = relay?.ending === undefined ? undefined : `the relay ended by itself: ${relay.ending}`
    const wrong = ended ?? calm.failure ?? meanwhile.failure ?? failure
    return {
      metrics: { ...meanwhile.metrics, ...ratios(calm.metrics, meanwhile.metrics), ...memoryOf(pids), ...figures },
      caveats: [...meanwhile.caveats, ...(dropped > 0 ? [`loopback dropped ${dropped} packets, which come again after 0.2 s`] : [])],
      ...(wrong === undefined ? {} : { failure: wrong }),
      ...(inAfterMs === undefined ? {} : { inAfterMs }),
    }
  } catch (error) {
    if (!(error instanceof RelayStartError)) throw error
    return { metrics: {}, caveats: [], failure: error.message }
  } finally {
    await side.stop()
    await relay?.stop()
    await generator.stop()
    steady.backends.stop()
    crowd.backends.stop()
  }
}

async function startBackend(): Promise<{ readonly backends: Backends; readonly port: number }> {
  const { backends, ports: [ports] } = await Backends.start({ processes: 1, sets: 1 })
  if (ports === undefined) throw new Error('bug: no backend')
  return { backends, port: ports.echo }
}

interface Beginning {
  readonly mode: Mode
  readonly options: StormOptions
  readonly hellos: Hellos
  readonly port: number
  readonly network: string
}

async function beginSide(side: Side, { mode, options, hellos, port, network }: Beginning): Promise<void> {
  if (mode === 'storm') {
    await side.begin({ kind: 'storm', spec: { port, tenants: crowdShares(options).map(({ name, clients }) => ({ hello: helloOf(hellos, name), clients })) } })
    return
  }
  const { attackPerSecond } = options
  await side.begin({
    kind: 'attack',
    spec: {
      port, network, connectionsPerSecond: attackPerSecond, sources: Math.max(1, Math.floor(attackPerSecond / (attackersTimesOver * perSourcePerSecond))), hello: helloOf(hellos, attackedName),
      newcomersPerSecond, newcomersHello: helloOf(hellos, newcomersName),
    },
  })
}

interface SideResult {
  readonly figures: Metrics
  readonly failure?: string | undefined
  readonly inAfterMs?: readonly number[]
}

async function endStorm(side: Side): Promise<SideResult> {
  const deadlineMs = performance.now() + stormMsMax
  while (!side.allIn && performance.now() < deadlineMs) await delay(pollMs)
  const tally: CrowdTally = await side.closeStorm()
  return { ...stormFigures(tally), inAfterMs: Array.from(tally.inAfterMs.toSorted(), Math.round) }
}

async function endAttack(side: Side): Promise<SideResult> {
  const tally: AttackTally = await side.closeAttack()
  return { figures: attackFigures(tally) }
}

function ratios(calm: Metrics, meanwhile: Metrics): Metrics {
  if (calm.p99Us === undefined || calm.p50Us === undefined || meanwhile.p99Us === undefined || meanwhile.p50Us === undefined) return {}
  return { beforeP50Us: calm.p50Us, beforeP99Us: calm.p99Us, timesP50: meanwhile.p50Us / calm.p50Us, timesP99: meanwhile.p99Us / calm.p99Us }
}

/** All clients of a storm are still there. */
function memoryOf(pids: readonly number[]): Metrics {
  if (pids.length === 0) return {}
  const tree = pids.flatMap(processTree)
  const [pss, peak] = [pssBytes(tree), peakBytes(tree)]
  return { ...(pss === undefined ? {} : { memoryMib: pss / mebibyte }), ...(peak === undefined ? {} : { peakMib: peak / mebibyte }) }
}

function helloOf(hellos: Hellos, name: string): Buffer {
  const hello = hellos.get(name)
  if (hello === undefined) throw new Error(`bug: no hello for ${name}`)
  return hello
}
