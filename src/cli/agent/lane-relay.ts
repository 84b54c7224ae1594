// What relays an agent's direct lane: the gateway's own driver, with one worker, or the portable one where that does not run.

import { randomBytes } from 'node:crypto'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { ConnectionRecord } from '../../core/connection-record.ts'
import { ListenerTable } from '../../core/listener-table.ts'
import type { SnapshotChange } from '../../core/snapshot.ts'
import type { Logger } from '../../observe/log.ts'
import { connectionsMaxOfProcess } from '../../relay/descriptor-limit.ts'
import type { RelayDriver } from '../../relay/driver.ts'
import { NodeDriver } from '../../relay/node/node-driver.ts'
import type { LaneRelay, LaneRelayEvents } from '../../tunnel/agent/direct-lane.ts'

/** Short: there is another way to go. */
const connectTimeoutMs = 1_000
/** From a client's first bytes to an answer: then the next gateway is tried. */
const answerTimeoutMs = 5_000
/** Longer than a gateway's: its own tenant's timeouts are meant to end connections. */
const idleTimeoutMs = 24 * 3_600_000
const gatewaysTriedMax = 3
const tenant = 'gateways'

export async function createLaneRelay(events: LaneRelayEvents, logger: Logger): Promise<LaneRelay> {
  const driver = await createDriver(events, logger)
  const names: string[] = []
  let endpoints: readonly Endpoint[] = []
  let version = 0
  // One change after the other.
  let published = Promise.resolve()
  const publish = async (): Promise<void> => {
    published = published.then(async () => await driver.publish(changeTo({ version: ++version, names, endpoints })))
    await published
  }
  return {
    listen: async (name, address) => {
      names.push(name)
      await publish()
      return await driver.listen(name, address, { ipv6Only: address.address.includes(':') })
    },
    use: (gateways) => {
      endpoints = gateways
      publish().catch((error: unknown) => logger.error({ error: String(error) }, 'the direct lane does not know its gateways'))
    },
    openConnections: (name) => driver.counters().openConnectionsByListener.get(name) ?? 0,
    stop: async () => await driver.stop(),
  }
}

function changeTo({ version, names, endpoints }: { readonly version: number; readonly names: readonly string[]; readonly endpoints: readonly Endpoint[] }): SnapshotChange {
  return {
    version,
    listeners: names.map((name) => ({ name, defaultTenant: tenant, withoutHello: true, helloTimeoutMs: connectTimeoutMs })),
    tenants: [{ name: tenant, hostnames: [], scheduler: 'rr', endpoints, connectTimeoutMs, answerTimeoutMs, idleTimeoutMs, halfClosedTimeoutMs: idleTimeoutMs, drainTimeoutMs: 0, attemptsMax: gatewaysTriedMax }],
    removedTenants: 'all-others',
  }
}

async function createDriver({ handedOver, ended }: LaneRelayEvents, logger: Logger): Promise<RelayDriver> {
  const failed = (error: Error, context: string): void => logger.error({ error: error.message }, context)
  const idPrefix = `${randomBytes(4).toString('hex')}-`
  const connectionsMax = connectionsMaxOfProcess()
  try {
    const [{ LinuxDriver }, { socketOf }] = [await import('../../relay/linux/linux-driver.ts'), await import('../../relay/linux/handed-over-socket.ts')]
    return new LinuxDriver({
      workers: 1, warmUpMs: 0, kernelLane: 'off', busyPollUs: 0, withoutLane: () => undefined, connectionsMax, idPrefix, failed,
      workerEntry: new URL('lane-worker.ts', import.meta.url),
      workerObserver: () => undefined,
      listenerTable: new ListenerTable(),
      observed: (record) => ended(record as ConnectionRecord),
      withoutRing: () => undefined,
      handOver: ({ record, head }, fd) => handedOver(record, socketOf(fd, head)),
    })
  } catch (error) {
    logger.info({ why: error instanceof Error ? error.message : String(error) }, 'the Linux driver does not run here: the portable one relays the direct lane')
    let connections = 0
    return new NodeDriver({
      connectionsMax, newConnectionId: () => `${idPrefix}${(++connections).toString(36)}`,
      observer: { connectionEnded: ended, driverError: failed },
      handOver: ({ record, head }, socket) => {
        socket.unshift(head)
        handedOver(record, socket)
      },
    })
  }
}
