// The Linux driver as tests make it: its workers' records come to the observer in the main thread.

import { readdirSync } from 'node:fs'
import type { Test } from 'tap'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { ListenerTable } from '../../src/core/listener-table.ts'
import { LinuxDriver, type LinuxDriverOptions } from '../../src/relay/linux/linux-driver.ts'
import { startRelay, type DriverOptions, type Relay, type RelayOptions } from './relay.ts'

/** What is off where a test does not say otherwise. */
type RelaySettings = Partial<Pick<LinuxDriverOptions, 'warmUpMs' | 'kernelLane' | 'kernelLanePlaces' | 'busyPollUs'>>

export function createLinuxDriver(
  { observer, connectionsMax, newConnectionId, ...options }: DriverOptions & Pick<LinuxDriverOptions, 'handOver'>,
  { warmUpMs = 0, kernelLane = 'off', busyPollUs = 0, ...settings }: RelaySettings = {},
): LinuxDriver {
  return new LinuxDriver({
    ...options,
    ...settings,
    warmUpMs,
    kernelLane,
    busyPollUs,
    connectionsMax,
    idPrefix: newConnectionId(),
    workerEntry: new URL('linux-relay-worker.ts', import.meta.url),
    workerObserver: () => undefined,
    listenerTable: new ListenerTable(),
    observed: (message) => observer.connectionEnded(message as ConnectionRecord),
    withoutRing: () => undefined,
    withoutLane: (why) => observer.driverError(new Error(why), 'no kernel lane'),
    failed: (error, context) => observer.driverError(error, context),
  })
}

export interface LinuxRelay extends Relay {
  readonly driver: LinuxDriver
  /** What it told of failures that belong to no connection. */
  readonly failures: readonly string[]
  /** Resolves when one is told: of a worker that has died, before its successor runs. */
  nextFailure(): Promise<void>
}

export async function startLinuxRelay(t: Test, { warmUpMs = 0, kernelLane = 'off', kernelLanePlaces, busyPollUs = 0, ...options }: Omit<RelayOptions, 'createDriver' | 'driverError'> & RelaySettings): Promise<LinuxRelay> {
  const failures: string[] = []
  const waiting: (() => void)[] = []
  let driver: LinuxDriver | undefined
  const relay = await startRelay(t, {
    ...options,
    createDriver: (driverOptions) => driver = createLinuxDriver(driverOptions, { warmUpMs, kernelLane, busyPollUs, ...(kernelLanePlaces === undefined ? {} : { kernelLanePlaces }) }),
    driverError: (error, context) => {
      failures.push(`${context}: ${error.message}`)
      for (const wake of waiting.splice(0)) wake()
    },
  })
  if (driver === undefined) throw new Error('unreachable')
  return { ...relay, driver, failures, nextFailure: async () => await new Promise<void>((resolve) => {
    waiting.push(resolve)
  }) }
}

/** This process's open descriptors. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}
