// One measurement of a tunnel: a load; a load without and with something beside it, stalled readers, a log at full speed or dials to
// nowhere; or the memory of stalled readers.

import type { Measured } from '../conclude.ts'
import type { Backends } from '../load/backends.ts'
import type { Generator } from '../load/generator.ts'
import { measure, type MeasureOptions } from '../measure.ts'
import { processTree, pssBytes } from '../proc.ts'
import { FullLog } from './full-log.ts'
import type { TunnelRunOptions } from './options.ts'
import { PendingDials } from './pending-dials.ts'
import { StalledReaders } from './stalled-readers.ts'
import type { TunnelTarget } from './tunnel-target.ts'
import type { TunnelWorkload } from './workloads.ts'

const newStreamMsMax = 3_000
const settleTimeoutMs = 3_000
const kibibyte = 1024
const mebibyte = 1024 * 1024

export interface MeasureTunnelOptions {
  readonly workload: TunnelWorkload
  readonly target: TunnelTarget
  readonly options: Pick<TunnelRunOptions, 'warmUpMs' | 'durationMs'>
  readonly generator: Generator
  readonly backends: Backends
}

export async function measureTunnel(options: MeasureTunnelOptions): Promise<Measured> {
  const { workload: { name, stalled, besideLog, pending } } = options
  if (pending !== undefined) return await beside(options, async () => await besidePending(options, pending))
  if (besideLog) return await beside(options, async () => await besideFullLog(options))
  if (stalled === 0) return withMegabytes(await load(options))
  return name === 'stalled-memory' ? await stalledMemory(options) : await beside(options, async () => await besideStalled(options))
}

async function load({ workload, target, options: { warmUpMs, durationMs }, generator, backends }: MeasureTunnelOptions, more: Partial<MeasureOptions> = {}): Promise<Measured> {
  // A stream's window takes several round trips to grow.
  const growMs = 12 * workload.roundTripMs
  return await measure({ workload, target: target.loadTarget(workload.role), relayPids: target.pids, generator, backends, warmUpMs: warmUpMs + growMs, durationMs, ...more })
}

function withMegabytes(measured: Measured): Measured {
  const { gigabytesPerSecond } = measured.metrics
  return gigabytesPerSecond === undefined ? measured : { ...measured, metrics: { ...measured.metrics, megabytesPerSecond: gigabytesPerSecond * 1000 } }
}

/** @param measureBeside the load once more, beside what may hold it up */
async function beside(options: MeasureTunnelOptions, measureBeside: () => Promise<Measured>): Promise<Measured> {
  // Ends that were just started are slower than they will be: the first one is for warm-up.
  await load(options)
  const before = await load(options)
  if (before.failure !== undefined) return { ...before, failure: `with nothing beside it: ${before.failure}` }
  const measured = await measureBeside()
  const { p50Us: beforeP50Us, p99Us: beforeP99Us } = before.metrics
  return { ...measured, metrics: { ...measured.metrics, ...(beforeP50Us === undefined ? {} : { beforeP50Us }), ...(beforeP99Us === undefined ? {} : { beforeP99Us }) } }
}

async function besidePending(options: MeasureTunnelOptions, { dials: count, address, port }: NonNullable<TunnelWorkload['pending']>): Promise<Measured> {
  const { target } = options
  const pids = target.pids.flatMap(processTree)
  const dials = new PendingDials({ ...target.loadTarget('echo'), address, port })
  try {
    const beforeBytes = pssBytes(pids)
    const measured = await load(options, { interlude: async () => await dials.open(count) })
    const afterBytes = pssBytes(pids)
    await dials.settle()
    const { answered, closed, waiting, slowestAnswerMs } = dials.outcome
    const answered504 = answered.get('504') ?? 0
    const all = Array.from(answered.values()).reduce((sum, each) => sum + each, 0)
    return {
      ...measured,
      metrics: {
        ...measured.metrics, answered504, answeredOther: all - answered504, closedUnanswered: closed, unanswered: waiting, slowestAnswerMs,
        ...(beforeBytes === undefined || afterBytes === undefined ? {} : { pendingMib: (afterBytes - beforeBytes) / mebibyte }),
      },
      caveats: [...measured.caveats, ...Array.from(answered.keys()).filter((status) => status !== '504').map((status) => `${answered.get(status)} were answered ${status}`)],
    }
  } finally {
    dials.close()
  }
}

async function besideFullLog(options: MeasureTunnelOptions): Promise<Measured> {
  const { workload, target, backends } = options
  let log: FullLog | undefined
  let newStreamMs: number | undefined
  const measured = await load(options, {
    beside: () => log,
    interlude: async () => {
      log = await FullLog.open(target.loadTarget('source'))
      newStreamMs = await target.probe(newStreamMsMax)
      await backends.settle(settleTimeoutMs, workload.spec.connections)
    },
  })
  const figures = await log?.close()
  if (figures === undefined) return measured
  const { megabytesPerSecond, sourceCores, readerCores, failure } = figures
  const { generatorCores = 0, backendCores = 0, otherCores = 0 } = measured.metrics
  return {
    ...measured,
    metrics: {
      ...measured.metrics, logMegabytesPerSecond: megabytesPerSecond, ...(newStreamMs === undefined ? {} : { newStreamMs }),
      generatorCores: generatorCores + readerCores, backendCores: backendCores + sourceCores, otherCores: Math.max(0, otherCores - sourceCores),
    },
    caveats: [...measured.caveats, ...(newStreamMs === undefined ? [`no new stream within ${newStreamMsMax / 1000} s`] : [])],
    ...(failure === undefined ? {} : { failure: `the log: ${failure}` }),
  }
}

async function besideStalled(options: MeasureTunnelOptions): Promise<Measured> {
  const { workload, target, backends } = options
  const readers = new StalledReaders(target.loadTarget('boundedSource'))
  let fault: string | undefined
  let newStreamMs: number | undefined
  try {
    const measured = await load(options, {
      standing: () => readers.count,
      interlude: async () => {
        fault = await readers.open(workload.stalled, backends)
        newStreamMs = await target.probe(newStreamMsMax)
        // Its connection to the backend ends a moment later.
        await backends.settle(settleTimeoutMs, workload.spec.connections + readers.count)
      },
    })
    return {
      ...measured,
      metrics: { ...measured.metrics, ...(newStreamMs === undefined ? {} : { newStreamMs }) },
      caveats: [
        ...measured.caveats,
        ...(fault === undefined ? [] : [`${readers.count} of ${workload.stalled} stalled: ${fault}`]),
        ...(newStreamMs === undefined ? [`no new stream within ${newStreamMsMax / 1000} s`] : []),
      ],
    }
  } finally {
    readers.close()
  }
}

async function stalledMemory({ workload: { stalled }, target, backends }: MeasureTunnelOptions): Promise<Measured> {
  const pids = target.pids.flatMap(processTree)
  const readers = new StalledReaders(target.loadTarget('boundedSource'))
  try {
    const beforeBytes = pssBytes(pids)
    const fault = await readers.open(stalled, backends)
    const afterBytes = pssBytes(pids)
    const streams = readers.count
    const caveats = fault === undefined ? [] : [`${streams} of ${stalled} stalled: ${fault}`]
    if (beforeBytes === undefined || afterBytes === undefined || streams === 0) return { metrics: { stalledStreams: streams }, caveats }
    const grownBytes = afterBytes - beforeBytes
    return {
      metrics: { stalledStreams: streams, stalledMib: grownBytes / mebibyte, stalledKibPerStream: grownBytes / kibibyte / streams, memoryMib: afterBytes / mebibyte },
      caveats,
    }
  } finally {
    readers.close()
  }
}
