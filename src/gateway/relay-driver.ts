// Which driver relays. On Linux that is the one on epoll; elsewhere, and where its FFI package can't be loaded, the portable
// one, and then it is said why.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { availableParallelism } from 'node:os'
import type { RelayConfig } from '../config/config.ts'
import { createActiveCells, type ActiveCells } from '../core/balance/active-counts.ts'
import { admissionFigures, createAdmissionTables, type AdmissionTables } from '../core/limit/admission-tables.ts'
import type { KernelLaneMode } from '../core/kernel-lane-policy.ts'
import { listenerRowsMax } from '../core/listener-table.ts'
import type { Logger } from '../observe/log.ts'
import { Observation, type ObservationOptions } from '../observe/observation.ts'
import type { LinesMessage } from '../observe/worker-observer.ts'
import { connectionsMaxOfProcess } from '../relay/descriptor-limit.ts'
import type { HandedOver, RelayDriver } from '../relay/driver.ts'
import type { kernelLaneFault, LinuxDriver } from '../relay/linux/linux-driver.ts'
import type { TicketSecrets } from '../relay/tickets.ts'
import { NodeDriver } from '../relay/node/node-driver.ts'

/** Takes connections to the tunnel's hostnames, in either driver's kind. */
export interface TunnelTaker {
  /** For its direct lane; undefined: there is none. */
  readonly tickets: TicketSecrets | undefined
  /** That it has where it takes descriptors: they open streams. */
  readonly threads: number
  takeSocket(connection: HandedOver, socket: Socket): void
  takeDescriptor(connection: HandedOver, fd: number): void
}

export interface Relay {
  readonly driver: RelayDriver
  readonly observation: Observation
  /** Of the driver's workers, then the tunnel's threads; where there are none, of the main thread. */
  readonly active: ActiveCells
  readonly admission: SharedAdmission
}

/** The tables are of all threads that connections or streams come to: the relay's, and then the tunnel's. */
export interface SharedAdmission {
  readonly tables: AdmissionTables
  readonly firstTunnelThread: number
}

/** Tenants have a row each, and those that left as long as they have connections. */
const tenantRows = 2 ** 18
/** Of one thread of the tunnel, at one time: for more there are not descriptors enough. */
const streamsPerThreadMax = 65_536

/** `relay.driver: linux`, or `relay.kernelLane: always`, was asked for, and does not run here. */
class DriverUnavailableError extends Error {
  readonly code = 'DRIVER_UNAVAILABLE'
}

interface LinuxModule {
  readonly LinuxDriver: typeof LinuxDriver
  readonly kernelLaneFault: typeof kernelLaneFault
}

/**
 * @param observation what the relay's observation is made of, but for the relay's own counters
 * @throws {DriverUnavailableError}
 */
export async function createRelay(
  { driver, workers, warmUpMs, kernelLane, busyPollUs }: RelayConfig,
  { logger, version, sources, tunnel }: { readonly tunnel?: TunnelTaker | undefined } & Omit<ObservationOptions, 'sources' | 'workers'> & { readonly sources: Omit<ObservationOptions['sources'], 'relay' | 'limits'> },
): Promise<Relay> {
  const linux = driver === 'node' ? undefined : await loadLinuxDriver()
  if (typeof linux === 'string') {
    if (driver === 'linux') throw new DriverUnavailableError(`relay.driver: linux does not run here: ${linux}; expected auto or node`)
    logger.warn({ why: linux }, 'the Linux driver does not run here: the portable one relays, on one thread')
  }
  if (kernelLane === 'always') {
    const fault = typeof linux === 'object' ? linux.kernelLaneFault() : 'it is of the Linux driver'
    if (fault !== undefined) throw new DriverUnavailableError(`relay.kernelLane: always does not run here: ${fault}; expected auto or off`)
  }
  const idPrefix = randomBytes(6).toString('hex')
  const connectionsMax = connectionsMaxOfProcess()
  const admissionFor = (relayThreads: number): SharedAdmission => {
    const holds = [...Array.from({ length: relayThreads }, () => connectionsMax), ...Array.from({ length: tunnel?.threads ?? 0 }, () => streamsPerThreadMax)]
    const [seed, otherSeed] = [randomBytes(4).readInt32LE(), randomBytes(4).readInt32LE()]
    return { tables: createAdmissionTables({ connectionsMax, listenerRows: listenerRowsMax, tenantRows, holds, seeds: [seed, otherSeed] }), firstTunnelThread: relayThreads }
  }
  if (typeof linux === 'object') {
    const count = workers === 'auto' ? availableParallelism() : workers
    const observation: Observation = new Observation({ logger, version, workers: count, sources: { ...sources, relay: () => relay.counters(), limits: () => admissionFigures(admission.tables) } })
    const admission = admissionFor(count)
    const active = createActiveCells(count + (tunnel?.threads ?? 0))
    const relay = linuxDriver(linux, { observation, logger, workers: count, warmUpMs, kernelLane, busyPollUs, connectionsMax, idPrefix, tunnel, active, admission: admission.tables })
    return { driver: relay, observation, active, admission }
  }
  let connections = 0
  const admission = admissionFor(1)
  const active = createActiveCells(1)
  const observation: Observation = new Observation({ logger, version, sources: { ...sources, relay: () => relay.counters(), limits: () => admissionFigures(admission.tables) } })
  const relay = new NodeDriver({
    observer: observation, connectionsMax, active, admission: admission.tables, newConnectionId: () => `${idPrefix}-${(++connections).toString(36)}`,
    ...(tunnel === undefined ? {} : { handOver: (connection: HandedOver, socket: Socket) => tunnel.takeSocket(connection, socket) }),
    ...(tunnel?.tickets === undefined ? {} : { tickets: tunnel.tickets }),
  })
  return { driver: relay, observation, active, admission }
}

function linuxDriver(
  linux: LinuxModule,
  { observation, logger, tunnel, ...options }: { tunnel: TunnelTaker | undefined; observation: Observation; logger: Logger; workers: number; warmUpMs: number; kernelLane: KernelLaneMode; busyPollUs: number; connectionsMax: number; idPrefix: string; active: ActiveCells; admission: AdmissionTables },
): RelayDriver {
  let told = false
  let toldOfLane = false
  return new linux.LinuxDriver({
    ...options,
    ...(tunnel === undefined ? {} : { handOver: (connection: HandedOver, fd: number) => tunnel.takeDescriptor(connection, fd) }),
    ...(tunnel?.tickets === undefined ? {} : { tickets: tunnel.tickets }),
    workerEntry: new URL('relay-worker.ts', import.meta.url),
    workerObserver: (worker) => observation.workers[worker],
    listenerTable: observation.listeners,
    observed: (message, worker) => {
      const data = observation.workers[worker]
      if (data !== undefined) observation.takeLines(data, message as LinesMessage)
    },
    withoutRing: (why) => {
      // All workers find the same, and so do those that replace them.
      if (!told) logger.info({ why }, 'io_uring is not to be had: the relay makes one system call for each read and write')
      told = true
    },
    withoutLane: (why) => {
      if (!toldOfLane) logger.warn({ why }, 'there is no kernel lane: every byte goes through the relay\'s threads')
      toldOfLane = true
    },
    failed: (error, context) => observation.driverError(error, context),
  })
}

/** @returns why not, where it does not run here */
async function loadLinuxDriver(): Promise<LinuxModule | string> {
  if (process.platform !== 'linux') return `this is ${process.platform}`
  if (process.arch !== 'x64' && process.arch !== 'arm64') return `it knows the system calls of x64 and arm64, and this is ${process.arch}`
  try {
    return await import('../relay/linux/linux-driver.ts')
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
