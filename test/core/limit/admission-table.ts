// Admission as its tests have it: small tables, a clock of theirs, listeners and tenants with rows.

import { Admission } from '../../../src/core/limit/admission.ts'
import { admissionFigures, createAdmissionTables, type AdmissionFigures, type AdmissionTables } from '../../../src/core/limit/admission-tables.ts'
import { countedLimits, type ListenerLimits, type TenantLimits } from '../../../src/core/limit/limits.ts'
import { SourceKey } from '../../../src/core/net/source-key.ts'
import type { ListenerPolicy, TenantPolicy } from '../../../src/core/snapshot.ts'
import { snapshotOf, tenant } from '../../support/config.ts'

export interface Table {
  readonly tables: AdmissionTables
  readonly clock: { ms: number }
  /** By thread. */
  readonly threads: readonly Admission[]
  readonly figures: () => AdmissionFigures
}

const holdsMax = 10_000

export function table({ connectionsMax = 1_000, threads = 1 } = {}): Table {
  const tables = createAdmissionTables({ connectionsMax, listenerRows: 8, tenantRows: 64, holds: Array.from({ length: threads }, () => holdsMax), seeds: [1, 2] })
  const clock = { ms: 1_000 }
  const nowNs = (): bigint => BigInt(Math.round(clock.ms * 1e6))
  return { tables, clock, threads: Array.from({ length: threads }, (_, thread) => new Admission({ tables, thread, nowNs })), figures: () => admissionFigures(tables) }
}

export function listenerWith(limits?: ListenerLimits, limitRow = 0): ListenerPolicy {
  return { name: `127.0.0.1:${limitRow}`, helloTimeoutMs: 5_000, limitRow, ...(limits === undefined ? {} : { limits: countedLimits(limits) }) }
}

export function tenantWith(limitRow: number, limits?: TenantLimits): TenantPolicy {
  const policy = snapshotOf({ tenants: [tenant(`t${limitRow}`, [])] }).tenants.get(`t${limitRow}`)
  if (policy === undefined) throw new Error('unreachable')
  return { ...policy, limitRow, ...(limits === undefined ? {} : { limits: countedLimits(limits) }) }
}

export function source(address: string): SourceKey {
  return new SourceKey().setText(address)
}
