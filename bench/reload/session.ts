// Reload after reload, each with a window of the same echoes just before it:
//
//   connections opened │ warm-up │ window │ reset          connections opened │ warm-up │ SIGHUP … live … window │ reset
//   ───────────────── without a reload ──────────          ─────────────────── with a reload ───────────────────
//
// The files are written before all of it; a reload finds its own in place by a rename.

import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Backends } from '../load/backends.ts'
import { captureClientHello } from '../load/client-hello.ts'
import { Generator } from '../load/generator.ts'
import type { LoadTally, LoadTarget } from '../load/load.ts'
import { createLatencyHistogram } from '../load/tally.ts'
import type { PeerFacts } from '../peers/peer.ts'
import { RelayProcess } from '../peers/relay-process.ts'
import { sluice } from '../peers/sluice.ts'
import { serverNameOf } from '../routes.ts'
import { freePort } from '../free-port.ts'
import { inWorkFolder } from '../work-folder.ts'
import type { ReloadOptions } from './options.ts'
import { Probe } from './probe.ts'
import { probedName, routesAt } from './versions.ts'

const connections = 64
const payloadBytes = 128
const liveMsMax = 30_000

export interface Window {
  readonly requests: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
  /** The part of it that is the generator's own. */
  readonly generatorLateP99Us: number
}

export interface Reload {
  readonly before: Window
  readonly during: Window
  /** From SIGHUP until a new connection reached the new endpoint. */
  readonly liveMs: number
}

export interface ReloadResult {
  readonly reloads: readonly Reload[]
  /** What the gateway's log says of each. */
  readonly loggedMs: readonly number[]
}

/** @throws an error that says what failed: an echo, a probe, a reload */
export async function measureReloads(options: ReloadOptions, progress: (line: string) => void): Promise<ReloadResult> {
  return await inWorkFolder(async (directory) => await measureIn(directory, options, progress))
}

async function measureIn(directory: string, options: ReloadOptions, progress: (line: string) => void): Promise<ReloadResult> {
  const { backends, ports: [backendPorts] } = await Backends.start({ processes: 1, sets: 1 })
  if (backendPorts === undefined) throw new Error('bug: no backend')
  const probe = await Probe.listen(await captureClientHello(probedName))
  const installation = sluice.find()
  if (typeof installation === 'string') throw new Error(installation)
  const factsAt = (version: number): PeerFacts => ({ ...facts, routes: routesAt(version, { backendPorts, probePorts: probe.ports, hostnames: options.hostnames }) })
  const facts = { directory, listenPort: await freePort(), adminPort: await freePort(), connectionsMax: 2 * connections, routes: [] }
  for (let version = 1; version <= options.reloads; version += 1) {
    for (const [name, text] of Object.entries(installation.launch(factsAt(version)).files)) writeFileSync(join(directory, `${name}.${version}`), text)
  }
  progress('starting')
  const generator = new Generator(1)
  const relay = await RelayProcess.start(sluice.name, installation.launch(factsAt(0)), factsAt(0))
  probe.start(facts.listenPort)
  const load: WindowLoad = { generator, target: { port: facts.listenPort, hello: await captureClientHello(serverNameOf('echo')) }, options }
  const reloads: Reload[] = []
  try {
    for (let version = 1; version <= options.reloads; version += 1) {
      const before = await window(load)
      let liveMs = Number.NaN
      const during = await window(load, async () => {
        renameSync(join(directory, `sluice.yaml.${version}`), join(directory, 'sluice.yaml'))
        const startMs = performance.now()
        process.kill(relay.pid, 'SIGHUP')
        liveMs = await withinMs(liveMsMax, probe.live(version)) - startMs
      })
      reloads.push({ before, during, liveMs })
      progress(`reload ${version}/${options.reloads}  live after ${liveMs.toFixed(0)} ms · p99 ${during.p99Us.toFixed(0)} µs, before it ${before.p99Us.toFixed(0)} µs`)
      await delay(options.pauseMs)
    }
    return { reloads, loggedMs: loggedMs(readFileSync(join(directory, 'output.log'), 'utf8')) }
  } finally {
    await probe.stop()
    await relay.stop()
    await generator.stop()
    backends.stop()
  }
}

interface WindowLoad {
  readonly generator: Generator
  readonly target: LoadTarget
  readonly options: ReloadOptions
}

/** @param action begins with the window, which ends no sooner than it */
async function window({ generator, target, options: { requestsPerSecond, warmUpMs, windowMs } }: WindowLoad, action: () => Promise<void> = async () => undefined): Promise<Window> {
  await generator.prepare({ kind: 'paced', connections, payloadBytes, requestsPerSecond }, target)
  await generator.start()
  await delay(warmUpMs)
  await generator.openWindow()
  await Promise.all([action(), delay(windowMs)])
  await generator.closeWindow()
  return concludeWindow(await generator.finish())
}

function concludeWindow(tallies: readonly LoadTally[]): Window {
  const [latency, sendDelay] = [createLatencyHistogram(), createLatencyHistogram()]
  for (const tally of tallies) {
    if (tally.failures > 0) throw new Error(`${tally.failures} echoes failed: ${tally.firstFailure}`)
    latency.add(tally.latency)
    sendDelay.add(tally.sendDelay)
  }
  const us = (percentile: number): number => latency.percentile(percentile) / 1000
  return { requests: latency.count, p50Us: us(50), p99Us: us(99), p999Us: us(99.9), maxUs: latency.max / 1000, generatorLateP99Us: sendDelay.percentile(99) / 1000 }
}

async function withinMs<T>(msMax: number, promise: Promise<T>): Promise<T> {
  const controller = new AbortController()
  const timeout = delay(msMax, undefined, { signal: controller.signal }).then(() => {
    throw new Error(`no new connection has reached the new endpoint within ${msMax / 1000} s`)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    timeout.catch(() => undefined)
    controller.abort()
  }
}

function loggedMs(log: string): readonly number[] {
  return log.split('\n').filter((line) => line.includes('"msg":"reloaded"')).map((line) => (JSON.parse(line) as { ms: number }).ms)
}
