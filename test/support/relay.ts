// A driver under test with one listener on loopback, and every record that it reports.

import type { Test } from 'tap'
import type { ListenerConfig } from '../../src/config/config.ts'
import { activeInRow, createActiveCells, type ActiveCells } from '../../src/core/balance/active-counts.ts'
import { EndpointRegister } from '../../src/core/balance/endpoint-register.ts'
import { EndpointRows } from '../../src/core/balance/endpoint-rows.ts'
import { shareParts } from '../../src/core/balance/endpoint-states.ts'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { LimitRows } from '../../src/core/limit/limit-rows.ts'
import type { ProcessLimits } from '../../src/core/limit/limits.ts'
import { admissionFigures, createAdmissionTables, type AdmissionFigures, type AdmissionTables } from '../../src/core/limit/admission-tables.ts'
import type { RelayObserver } from '../../src/core/relay-observer.ts'
import type { SnapshotChange, TenantSpec } from '../../src/core/snapshot.ts'
import type { RelayDriver } from '../../src/relay/driver.ts'
import type { TicketSecrets } from '../../src/relay/tickets.ts'
import { changeOf, listener, listenerName } from './config.ts'
import { until } from './sockets.ts'

export interface DriverOptions {
  readonly tickets?: TicketSecrets
  readonly observer: RelayObserver
  readonly connectionsMax: number
  /** Of a driver that has them. */
  readonly workers: number
  readonly active: ActiveCells
  readonly admission?: AdmissionTables
  readonly newConnectionId: () => string
}

/** How the compliance suite makes the driver that it examines. */
export type CreateDriver = (options: DriverOptions) => RelayDriver

export interface RelayOptions {
  readonly createDriver: CreateDriver
  readonly tenants: readonly TenantSpec[]
  readonly listener?: Partial<ListenerConfig>
  /** An agent's listener, for this tenant. */
  readonly withoutHello?: string
  readonly tunnelHostnames?: readonly string[]
  readonly helloMs?: number
  readonly connectionsMax?: number
  /** Of a driver that has them. @default 1 */
  readonly workers?: number
  readonly limits?: ProcessLimits
  /** What the driver tells of failures that belong to no connection; without it there must be none. */
  readonly driverError?: RelayObserver['driverError']
}

export interface Relay {
  readonly driver: RelayDriver
  readonly port: number
  readonly records: readonly ConnectionRecord[]
  readonly admission: () => AdmissionFigures
  /** The record of the connection that ended as number `index`. */
  record(index: number): Promise<ConnectionRecord>
  /** Tenants that are new or changed; endpoints that stay keep their counts. @param its of the listener, which stays as it is without */
  publish(tenants: readonly TenantSpec[], its?: Partial<ListenerConfig>): Promise<void>
  /** Connections that an endpoint of the tenant has now. */
  activeOn(tenantName: string, port: number): number
  /** Of all endpoints, who they are and what they may be given. */
  readonly register: EndpointRegister
  /** What a check of the endpoint has said. */
  checked(port: number, result: 'ready' | 'down'): void
}

/** Of the Linux driver, in tests. */
const workersMax = 8

export async function startRelay(t: Test, options: RelayOptions): Promise<Relay> {
  const records: ConnectionRecord[] = []
  let accepted = 0
  const connectionsMax = options.connectionsMax ?? 1_000
  const admission = createAdmissionTables({ connectionsMax, listenerRows: 8, tenantRows: 64, holds: Array.from({ length: workersMax }, () => connectionsMax), seeds: [1, 2] })
  const limitRows = new LimitRows(admission)
  const active = createActiveCells(options.workers ?? 1)
  const rows = new EndpointRows(active)
  const register = new EndpointRegister(active)
  /** By port. */
  const targets = new Map<number, number>()
  /** By tenant and port. */
  const rowOf = new Map<string, number>()
  const withRows = (change: SnapshotChange): SnapshotChange => {
    const { change: given } = rows.give(limitRows.assign(change))
    for (const { name, endpoints } of given.tenants) for (const { port, row } of endpoints) if (row !== undefined) rowOf.set(`${name} ${port}`, row)
    for (const { id, port } of register.update(given, Date.now()).added) targets.set(port, id)
    return given
  }
  const driver = options.createDriver({
    connectionsMax,
    workers: options.workers ?? 1,
    active,
    admission,
    newConnectionId: () => `c${++accepted}`,
    observer: {
      connectionEnded: (record) => {
        records.push(record)
      },
      driverError: options.driverError ?? ((error) => {
        throw error
      }),
    },
  })
  t.teardown(async () => {
    await driver.stop()
    const { openConnections, openConnectionsBeforeHello } = driver.counters()
    // The test's assertions are over by now; a throw fails it all the same.
    if (openConnections + openConnectionsBeforeHello !== 0) throw new Error(`connections were left open: ${openConnections}, ${openConnectionsBeforeHello} of them before their hello`)
    if (active.cells.subarray(0, (active.rowsUsed[0] ?? 0) * active.threads).some((count) => count !== 0)) throw new Error('connections that have ended are still counted as their endpoints’')
    const { openConnections: counted, openConnectionsBeforeHello: countedBeforeHello, openOfTenants, tenantsWithConnections } = admissionFigures(admission)
    if (counted + countedBeforeHello + openOfTenants + tenantsWithConnections !== 0) throw new Error(`limits count what has ended: ${JSON.stringify(admissionFigures(admission))}`)
    if (new Set(records.map(({ id }) => id)).size !== records.length) throw new Error('a connection ended twice')
  })
  const change = withRows(changeOf({
    tenants: options.tenants,
    listeners: [listener(options.listener)],
    ...(options.tunnelHostnames === undefined ? {} : { tunnelHostnames: options.tunnelHostnames }),
    ...(options.helloMs === undefined ? {} : { helloMs: options.helloMs }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  }))
  const { withoutHello: defaultTenant } = options
  await driver.publish(defaultTenant === undefined ? change : { ...change, listeners: change.listeners.map((each) => Object.assign(each, { withoutHello: true, defaultTenant })) })
  const { port } = await driver.listen(listenerName, { address: '127.0.0.1', port: 0 }, { ipv6Only: false })
  return {
    driver,
    port,
    records,
    admission: () => admissionFigures(admission),
    record: async (index) => {
      await until(() => records.length > index)
      const record = records[index]
      if (record === undefined) throw new Error('unreachable')
      return record
    },
    publish: async (tenants, its) => {
      const listeners = its === undefined ? change.listeners : changeOf({ tenants: [], listeners: [listener(its)] }).listeners
      await driver.publish(withRows({ ...change, listeners, version: change.version + 1, tenants, removedTenants: [] }))
    },
    activeOn: (tenantName, at) => activeInRow(active, rowOf.get(`${tenantName} ${at}`) ?? -1),
    register,
    checked: (at, result) => void register.setHealth(targets.get(at) ?? -1, { isDown: result === 'down', parts: shareParts, why: result }, Date.now()),
  }
}
