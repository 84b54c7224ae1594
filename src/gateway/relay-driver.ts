// Which driver relays. On Linux that is the one on epoll; elsewhere, and where its FFI package can't be loaded, the portable
// one, and then it is said why.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { availableParallelism } from 'node:os'
import type { RelayConfig } from '../config/config.ts'
import { createActiveCells, type ActiveCells } from '../core/balance/active-counts.ts'
import type { Logger } from '../observe/log.ts'
import { Observation, type ObservationOptions } from '../observe/observation.ts'
import type { LinesMessage } from '../observe/worker-observer.ts'
import { connectionsMaxOfProcess } from '../relay/descriptor-limit.ts'
import type { HandedOver, RelayDriver } from '../relay/driver.ts'
import type { LinuxDriver } from '../relay/linux/linux-driver.ts'
import type { TicketSecrets } from '../relay/tickets.ts'
import { NodeDriver } from '../relay/node/node-driver.ts'

/** Takes connections to the tunnel's hostnames, in either driver's kind. */
export interface TunnelTaker {
  /** For its direct lane; undefined: there is none. */
  readonly tickets: TicketSecrets | undefined
  /** That it has where it takes descriptors. */
  readonly threads: number
  takeSocket(connection: HandedOver, socket: Socket): void
  takeDescriptor(connection: HandedOver, fd: number): void
}

export interface Relay {
  readonly driver: RelayDriver
  readonly observation: Observation
  /** Of the driver's workers, then the tunnel's threads; where there are none, of the main thread. */
  readonly active: ActiveCells
}

/** `relay.driver: linux` was asked for, and it does not run here. */
class DriverUnavailableError extends Error {
  readonly code = 'DRIVER_UNAVAILABLE'
}

interface LinuxModule {
  readonly LinuxDriver: typeof LinuxDriver
}

/**
 * @param observation what the relay's observation is made of, but for the relay's own counters
 * @throws {DriverUnavailableError}
 */
export async function createRelay(
  { driver, workers, warmUpMs }: RelayConfig,
  { logger, version, sources, tunnel }: { readonly tunnel?: TunnelTaker | undefined } & Omit<ObservationOptions, 'sources' | 'workers'> & { readonly sources: Omit<ObservationOptions['sources'], 'relay'> },
): Promise<Relay> {
  const linux = driver === 'node' ? undefined : await loadLinuxDriver()
  if (typeof linux === 'string') {
    if (driver === 'linux') throw new DriverUnavailableError(`relay.driver: linux does not run here: ${linux}; expected auto or node`)
    logger.warn({ why: linux }, 'the Linux driver does not run here: the portable one relays, on one thread')
  }
  const idPrefix = randomBytes(6).toString('hex')
  const connectionsMax = connectionsMaxOfProcess()
  if (typeof linux === 'object') {
    const count = workers === 'auto' ? availableParallelism() : workers
    const observation: Observation = new Observation({ logger, version, workers: count, sources: { ...sources, relay: () => relay.counters() } })
    const active = createActiveCells(count + (tunnel?.threads ?? 0))
    const relay = linuxDriver(linux, { observation, logger, workers: count, warmUpMs, connectionsMax, idPrefix, tunnel, active })
    return { driver: relay, observation, active }
  }
  let connections = 0
  const active = createActiveCells(1)
  const observation: Observation = new Observation({ logger, version, sources: { ...sources, relay: () => relay.counters() } })
  const relay = new NodeDriver({
    observer: observation, connectionsMax, active, newConnectionId: () => `${idPrefix}-${(++connections).toString(36)}`,
    ...(tunnel === undefined ? {} : { handOver: (connection: HandedOver, socket: Socket) => tunnel.takeSocket(connection, socket) }),
    ...(tunnel?.tickets === undefined ? {} : { tickets: tunnel.tickets }),
  })
  return { driver: relay, observation, active }
}

function linuxDriver(
  linux: LinuxModule,
  { observation, logger, tunnel, ...options }: { tunnel: TunnelTaker | undefined; observation: Observation; logger: Logger; workers: number; warmUpMs: number; connectionsMax: number; idPrefix: string; active: ActiveCells },
): RelayDriver {
  let told = false
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
