// Who is behind each row (endpoint-rows.ts), and what it may be given: the one writer of the states that all threads read
// (endpoint-states.ts). It lives in the main thread.
//
//   target   an address, a port and how they are checked: one, however many tenants have it
//   row      a tenant's endpoint: its target's health, unless the operator says otherwise, of it or of what it belongs to
//
// A row may be passed over for itself alone, where its tenant's clients fail to reach it (ejections.ts).
//
// What the operator has said holds by address, port and tenant, until it is taken back: over reloads, and for endpoints that come
// later.

import type { HealthSpec } from '../health/health-spec.ts'
import { pageByName } from '../page-by-name.ts'
import type { SnapshotChange, TenantSpec } from '../snapshot.ts'
import { activeInRow, type ActiveCells } from './active-counts.ts'
import { Ejections, mayEject, type EjectionSpec } from './ejections.ts'
import { failedBit, heldBit, shareOf, shareParts, startingSlowly } from './endpoint-states.ts'
import type { Endpoint } from './endpoint.ts'

/** Places that the operator has said something of. */
const operatorStatesMax = 10_000
/** Tenants of one endpoint that a listing names. */
const tenantsListedMax = 100
/** Names of tenants in one piece of news. */
const tenantsToldMax = 10

/** Of the operator: ready: whatever its checks say · draining, down: no new connection; those that it has stay. */
export type EndpointState = 'ready' | 'draining' | 'down'

/** Who says in which state an endpoint of a tenant is. */
export type StateBy = 'checks' | 'ejection' | 'operator'

/** What the operator says something of. The closer one counts: of a tenant, then of a port. */
export interface EndpointPlace {
  /** Absent: for all tenants. */
  readonly tenant?: string
  /** As in the configuration. */
  readonly address: string
  /** Absent: all of the address. */
  readonly port?: number
}

/** What checks say of a target. */
export interface TargetHealth {
  readonly isDown: boolean
  /** Of its weight, 1 to `shareParts`. */
  readonly parts: number
  /** The last check's result, in words. */
  readonly why: string
}

/** An address, a port and how they are checked. */
export interface CheckTarget {
  /** A whole number, below 2³¹, that no other has. */
  readonly id: number
  readonly address: string
  readonly port: number
  /** Absent: it is not checked, and is ready. */
  readonly health?: HealthSpec
}

export interface TargetFacts {
  readonly name: string
  readonly address: string
  readonly tenants: number
}

/** For whoever checks. */
export interface TargetChange {
  readonly added: readonly CheckTarget[]
  /** Ids. */
  readonly removed: readonly number[]
  /** Of those that are added, ids of those that are known to be down. */
  readonly down: readonly number[]
}

export interface EndpointStatus {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly check: HealthSpec['kind'] | 'none'
  /** `sinceMs`: since when it is ready or down, by the wall clock. */
  readonly health: { readonly state: 'ready' | 'down'; readonly share: number; readonly why: string; readonly sinceMs: number }
  readonly activeConnections: number
  readonly tenantCount: number
  /** The first ones. */
  readonly tenants: readonly TenantEndpointStatus[]
}

export interface TenantEndpointStatus {
  readonly tenant: string
  readonly weight: number
  readonly state: EndpointState
  readonly by: StateBy
  /** Of its weight, that it has while it starts slowly; otherwise 1. */
  readonly share: number
  readonly activeConnections: number
}

/** By state, of all tenants' endpoints; and tenants that have nobody else, so that those that are down are tried. */
export interface EndpointFigures {
  readonly ready: number
  readonly draining: number
  readonly down: number
  readonly startingSlowly: number
  /** Of those that are down. */
  readonly ejected: number
  readonly targets: number
  readonly tenantsInPanic: number
}

export interface TenantEndpointName {
  readonly tenant: string
  readonly endpoint: string
}

/** What failed dials have come to. */
export interface EjectionNews {
  readonly began: readonly (TenantEndpointName & { readonly failures: number; readonly forMs: number })[]
  /** Those that stay, of tenants with several, since too many would be out. */
  readonly refused: number
}

/** Tenants that have come into panic, or out of it, since it was last asked. */
export interface PanicNews {
  readonly began: TenantNews
  readonly ended: TenantNews
}

interface TenantNews {
  readonly count: number
  /** The first ones. */
  readonly tenants: readonly string[]
}

interface Target extends CheckTarget {
  readonly key: string
  readonly name: string
  current: TargetHealth
  sinceMs: number
  firstRow: number
  rows: number
}

interface Tenant {
  readonly name: string
  readonly endpoints: readonly Endpoint[]
  readonly ejection?: EjectionSpec
  /** As `EjectionCounts`. */
  eligible: number
  failed: number
  ejected: number
}

interface Row {
  readonly tenant: Tenant
  readonly target: Target
  readonly endpoint: Endpoint
  /** Of the target's list; -1: none. */
  next: number
  previous: number
  state: EndpointState
  by: StateBy
}

const none = -1

/** More places than `operatorStatesMax`. */
class OperatorStatesFullError extends Error {
  readonly code = 'OPERATOR_STATES_FULL'
}

export class EndpointRegister {
  readonly #cells: ActiveCells
  readonly #rows: (Row | undefined)[] = []
  readonly #tenants = new Map<string, Tenant>()
  readonly #targets = new Map<string, Target>()
  readonly #byId = new Map<number, Target>()
  readonly #byAddress = new Map<string, Set<Target>>()
  readonly #operator = new Map<string, EndpointState>()
  readonly #ejections = new Ejections()
  readonly #counts = { ready: 0, draining: 0, down: 0, startingSlowly: 0, ejected: 0 }
  readonly #panicking = new Set<string>()
  #panicBegan = new Set<string>()
  #panicEnded = new Set<string>()
  #lastId = 0

  constructor(cells: ActiveCells) {
    this.#cells = cells
  }

  /**
   * Takes in a change that has its rows, before it is published: so no thread has an endpoint whose state is another's. Threads read
   * meanwhile, so a state goes to its next value at once. One that is down and is to be checked otherwise is down until that finds it ready.
   * @param nowMs by the wall clock
   */
  update({ tenants, removedTenants }: SnapshotChange, nowMs: number): TargetChange {
    const added: CheckTarget[] = []
    const left = new Set<Target>()
    const rowsLeft = new Map<number, Row>()
    const leave = (name: string): void => {
      const tenant = this.#tenants.get(name)
      if (tenant !== undefined) this.#leave(tenant, left, rowsLeft)
    }
    if (removedTenants === 'all-others') {
      const staying = new Set(tenants.map(({ name }) => name))
      for (const name of this.#tenants.keys()) if (!staying.has(name)) leave(name)
    } else for (const name of removedTenants) leave(name)
    // All go before any comes: a row may go from one tenant to another.
    for (const { name } of tenants) leave(name)
    const wereDown = new Map([...left].filter(({ current }) => current.isDown).map((target) => [target.name, target]))
    for (const spec of tenants) this.#join(spec, { added, wereDown, rowsLeft, nowMs })
    for (const row of rowsLeft.keys()) {
      if (this.#rows[row] !== undefined) continue
      this.#cells.states[row] = 0
      this.#forgetDials(row)
    }
    const removed: number[] = []
    for (const target of left) {
      if (target.rows > 0) continue
      this.#forget(target)
      removed.push(target.id)
    }
    return { added, removed, down: added.filter(({ id }) => this.#byId.get(id)?.current.isDown === true).map(({ id }) => id) }
  }

  /**
   * What checks say of a target, by its id.
   * @param nowMs by the wall clock
   * @returns who it is, and of how many tenants; undefined: it is gone meanwhile
   */
  setHealth(id: number, health: TargetHealth, nowMs: number): TargetFacts | undefined {
    const target = this.#byId.get(id)
    if (target === undefined) return undefined
    const before = target.current
    target.current = health
    if (before.isDown !== health.isDown) {
      target.sinceMs = nowMs
      // What checks have found is newer than what clients had.
      for (let row = target.firstRow; row !== none; row = this.#rows[row]?.next ?? none) this.#forgetDials(row)
    }
    if (before.isDown !== health.isDown || before.parts !== health.parts) this.#writeAll(target)
    return { name: target.name, address: target.address, tenants: target.rows }
  }

  #writeAll(target: Target): void {
    for (let row = target.firstRow; row !== none; row = this.#rows[row]?.next ?? none) this.#write(row)
  }

  /** @param rows where dials of clients have failed @param nowMs by a clock that goes on evenly, as of `endEjections` */
  eject(rows: Iterable<number>, nowMs: number): EjectionNews {
    const began: EjectionNews['began'][number][] = []
    let refused = 0
    for (const at of rows) {
      const row = this.#rows[at]
      const spec = row?.tenant.ejection
      const failures = this.#cells.failuresInARow[at] ?? 0
      if (row === undefined || spec === undefined || failures < spec.failures || row.state !== 'ready' || row.by === 'operator' || row.endpoint.weight === 0) continue
      if (!mayEject(row.tenant, spec)) {
        // Of one alone nothing else was to be expected.
        if (row.tenant.eligible > 1) refused += 1
        continue
      }
      began.push({ tenant: row.tenant.name, endpoint: row.endpoint.name, failures, forMs: this.#ejections.begin(at, spec, nowMs) })
      this.#write(at)
    }
    return { began, refused }
  }

  /** Those whose time is over come back. */
  endEjections(nowMs: number): readonly TenantEndpointName[] {
    const { back, grown } = this.#ejections.step(nowMs)
    for (const at of [...back, ...grown]) this.#write(at)
    return back.flatMap((at) => {
      const row = this.#rows[at]
      return row === undefined ? [] : [{ tenant: row.tenant.name, endpoint: row.endpoint.name }]
    })
  }

  /** The target behind a row. */
  targetOf(row: number): number | undefined {
    return this.#rows[row]?.target.id
  }

  /**
   * What the operator says, until it is said anew or taken back.
   * @param state undefined: its checks say again
   * @returns how many endpoints of tenants are there; where there is none, nothing is kept
   * @throws {OperatorStatesFullError}
   */
  setOperatorState(place: EndpointPlace, state: EndpointState | undefined): number {
    const rows = this.#rowsAt(place)
    const key = placeKey(place)
    if (state === undefined) this.#operator.delete(key)
    else if (rows.length === 0) return 0
    else if (this.#operator.size >= operatorStatesMax && !this.#operator.has(key)) throw new OperatorStatesFullError(`${operatorStatesMax} states are set already: take some back`)
    else this.#operator.set(key, state)
    for (const row of rows) {
      this.#forgetDials(row)
      this.#write(row)
    }
    return rows.length
  }

  figures(): EndpointFigures {
    return { ...this.#counts, targets: this.#targets.size, tenantsInPanic: this.#panicking.size }
  }

  /** Each endpoint once, in the order of their names. @param place those of it @param max the first ones */
  list(place: Partial<EndpointPlace> = {}, max = Infinity): EndpointStatus[] {
    return this.#targetsAt(place).toSorted((left, right) => left.key < right.key ? -1 : 1).slice(0, max).map((target) => this.#statusOf(target, place.tenant))
  }

  /**
   * The same, some at a time.
   * @param state only those that are in it for a tenant, or for the one that is asked for
   * @param after `next` of the page before
   */
  page(place: Partial<EndpointPlace>, { limit, after, state }: { readonly limit: number; readonly after?: string | undefined; readonly state?: EndpointState | undefined }): { readonly endpoints: readonly EndpointStatus[]; readonly next?: string } {
    const targets = this.#targetsAt(place).filter((target) => state === undefined || this.#isIn(target, state, place.tenant))
    const { names, next } = pageByName(targets.map(({ key }) => key), { limit, after })
    const endpoints = names.flatMap((key) => {
      const target = this.#targets.get(key)
      return target === undefined ? [] : [this.#statusOf(target, place.tenant)]
    })
    return next === undefined ? { endpoints } : { endpoints, next }
  }

  #targetsAt(place: Partial<EndpointPlace>): Target[] {
    const { address, port } = place
    const targets = address === undefined ? [...this.#targets.values()] : [...this.#byAddress.get(address) ?? []]
    const ofTenant = place.tenant === undefined ? undefined : new Set(this.#tenants.get(place.tenant)?.endpoints.map(({ row = none }) => this.#rows[row]?.target))
    return targets.filter((target) => (port === undefined || target.port === port) && (ofTenant === undefined || ofTenant.has(target)))
  }

  #isIn(target: Target, state: EndpointState, ofTenant: string | undefined): boolean {
    for (let row = this.#rows[target.firstRow]; row !== undefined; row = this.#rows[row.next]) {
      if (row.state === state && (ofTenant ?? row.tenant.name) === row.tenant.name) return true
    }
    return false
  }

  /** Once: the next call has what is new since this one. */
  takePanicNews(): PanicNews | undefined {
    if (this.#panicBegan.size + this.#panicEnded.size === 0) return undefined
    const news = (tenants: ReadonlySet<string>): TenantNews => ({ count: tenants.size, tenants: [...tenants].slice(0, tenantsToldMax) })
    const taken = { began: news(this.#panicBegan), ended: news(this.#panicEnded) }
    this.#panicBegan = new Set()
    this.#panicEnded = new Set()
    return taken
  }

  #statusOf(target: Target, ofTenant: string | undefined): EndpointStatus {
    const { name, address, port, health, sinceMs, current: { isDown, parts, why } } = target
    const tenants: TenantEndpointStatus[] = []
    let activeConnections = 0
    for (let at = target.firstRow; at !== none;) {
      const row = this.#rows[at]
      if (row === undefined) break
      const active = activeInRow(this.#cells, at)
      activeConnections += active
      if (tenants.length < tenantsListedMax && (ofTenant ?? row.tenant.name) === row.tenant.name) {
        tenants.push({ tenant: row.tenant.name, weight: row.endpoint.weight, state: row.state, by: row.by, share: shareOf(this.#cells.states[at] ?? 0), activeConnections: active })
      }
      at = row.next
    }
    return { name, address, port, check: health?.kind ?? 'none', health: { state: isDown ? 'down' : 'ready', share: parts / shareParts, why, sinceMs }, activeConnections, tenantCount: target.rows, tenants }
  }

  /** @param known `rowsLeft`: whose rows were until now */
  #join({ name, endpoints, health, ejection }: TenantSpec, { added, wereDown, rowsLeft, nowMs }: { readonly added: CheckTarget[]; readonly wereDown: ReadonlyMap<string, Target>; readonly rowsLeft: ReadonlyMap<number, Row>; readonly nowMs: number }): void {
    const tenant: Tenant = { name, endpoints, ...(ejection === undefined ? {} : { ejection }), eligible: 0, failed: 0, ejected: 0 }
    this.#tenants.set(name, tenant)
    const healthKey = health === undefined ? '' : JSON.stringify(health)
    for (const endpoint of endpoints) {
      const { row } = endpoint
      if (row === undefined) continue
      const key = `${endpoint.name} ${healthKey}`
      let target = this.#targets.get(key)
      if (target === undefined) {
        target = this.#create(key, endpoint, health, { before: wereDown.get(endpoint.name), nowMs })
        added.push({ id: target.id, address: target.address, port: target.port, ...(health === undefined ? {} : { health }) })
      }
      const before = rowsLeft.get(row)
      if (ejection === undefined || before?.tenant.name !== name || before.endpoint.name !== endpoint.name || before.endpoint.weight === 0) this.#forgetDials(row)
      else this.#ejections.retime(row, ejection)
      this.#rows[row] = { tenant, target, endpoint, next: target.firstRow, previous: none, state: 'ready', by: 'checks' }
      const next = this.#rows[target.firstRow]
      if (next !== undefined) next.previous = row
      target.firstRow = row
      target.rows += 1
      this.#enter(row)
    }
    this.#readmit(tenant)
  }

  /** @param known `before`: as it was checked until now, and down */
  #create(key: string, { name, address, port }: Endpoint, health: HealthSpec | undefined, { before, nowMs }: { readonly before: Target | undefined; readonly nowMs: number }): Target {
    const why = health === undefined ? 'it is not checked' : 'it was not checked yet'
    const { current, sinceMs } = health !== undefined && before !== undefined ? before : { current: { isDown: false, parts: shareParts, why }, sinceMs: nowMs }
    const target: Target = { id: ++this.#lastId, key, name, address, port, ...(health === undefined ? {} : { health }), current, sinceMs, firstRow: none, rows: 0 }
    this.#targets.set(key, target)
    this.#byId.set(target.id, target)
    const ofAddress = this.#byAddress.get(address)
    if (ofAddress === undefined) this.#byAddress.set(address, new Set([target]))
    else ofAddress.add(target)
    return target
  }

  #forget(target: Target): void {
    this.#targets.delete(target.key)
    this.#byId.delete(target.id)
    const ofAddress = this.#byAddress.get(target.address)
    ofAddress?.delete(target)
    if (ofAddress?.size === 0) this.#byAddress.delete(target.address)
  }

  #leave(tenant: Tenant, left: Set<Target>, rowsLeft: Map<number, Row>): void {
    for (const { row: at } of tenant.endpoints) {
      const row = at === undefined ? undefined : this.#rows[at]
      if (row === undefined || at === undefined) continue
      this.#count(at, -1)
      const { target, next, previous } = row
      const [before, after] = [this.#rows[previous], this.#rows[next]]
      if (before === undefined) target.firstRow = next
      else before.next = next
      if (after !== undefined) after.previous = previous
      target.rows -= 1
      left.add(target)
      this.#rows[at] = undefined
      rowsLeft.set(at, row)
    }
    this.#tenants.delete(tenant.name)
    this.#panicIs(tenant.name, false)
  }

  #rowsAt({ tenant, address, port }: EndpointPlace): number[] {
    const rows: number[] = []
    for (const target of this.#byAddress.get(address) ?? []) {
      if (port !== undefined && target.port !== port) continue
      for (let at = target.firstRow; at !== none;) {
        const row = this.#rows[at]
        if (row === undefined) break
        if (tenant === undefined || row.tenant.name === tenant) rows.push(at)
        at = row.next
      }
    }
    return rows
  }

  /** @param sign 1 for one that has come, -1 for one that goes */
  #count(at: number, sign: 1 | -1): void {
    const row = this.#rows[at]
    if (row === undefined) return
    const { tenant, endpoint, state, by } = row
    const bits = this.#cells.states[at] ?? 0
    this.#counts[state] += sign
    if (bits !== 0 && (bits & (failedBit | heldBit)) === 0) this.#counts.startingSlowly += sign
    if (by === 'ejection') this.#counts.ejected += sign
    if (endpoint.weight === 0 || (bits & heldBit) !== 0) return
    tenant.eligible += sign
    if ((bits & failedBit) !== 0) tenant.failed += sign
    if (by === 'ejection') tenant.ejected += sign
  }

  /** As its target and the operator say now. */
  #write(at: number): void {
    const tenant = this.#rows[at]?.tenant
    if (tenant === undefined) return
    this.#count(at, -1)
    this.#enter(at)
    this.#readmit(tenant)
  }

  /** Where checks or the operator have taken all others of a tenant, those that are ejected come back: they are not known to be down. */
  #readmit(tenant: Tenant): void {
    if (tenant.ejected === 0 || tenant.failed < tenant.eligible) return
    for (const { row: at } of tenant.endpoints) {
      if (at === undefined || this.#rows[at]?.by !== 'ejection') continue
      this.#ejections.forget(at)
      this.#count(at, -1)
      this.#enter(at)
    }
  }

  /** What clients had there is another's, or over. */
  #forgetDials(row: number): void {
    this.#ejections.forget(row)
    this.#cells.failuresInARow[row] = 0
  }

  /** … for the first time. */
  #enter(at: number): void {
    const row = this.#rows[at]
    if (row === undefined) return
    const { tenant, endpoint, target: { current: { isDown, parts } } } = row
    const said = this.#operatorStateOf(tenant.name, endpoint)
    const isOut = said === undefined && !isDown && this.#ejections.isOut(at)
    row.state = said ?? (isDown || isOut ? 'down' : 'ready')
    row.by = said !== undefined ? 'operator' : isOut ? 'ejection' : 'checks'
    this.#cells.states[at] = said === undefined ? (isDown || isOut ? failedBit : startingSlowly(Math.min(parts, this.#ejections.partsOf(at)))) : said === 'ready' ? 0 : heldBit
    this.#count(at, 1)
    this.#panicIs(tenant.name, tenant.eligible > 0 && tenant.failed === tenant.eligible)
  }

  #panicIs(tenant: string, isPanic: boolean): void {
    if (this.#panicking.has(tenant) === isPanic) return
    const [to, from] = isPanic ? [this.#panicBegan, this.#panicEnded] : [this.#panicEnded, this.#panicBegan]
    if (isPanic) this.#panicking.add(tenant)
    else this.#panicking.delete(tenant)
    if (!from.delete(tenant)) to.add(tenant)
  }

  #operatorStateOf(tenant: string, { address, port }: Endpoint): EndpointState | undefined {
    if (this.#operator.size === 0) return undefined
    return this.#operator.get(placeKey({ tenant, address, port })) ?? this.#operator.get(placeKey({ tenant, address }))
      ?? this.#operator.get(placeKey({ address, port })) ?? this.#operator.get(placeKey({ address }))
  }
}

function placeKey({ tenant = '', address, port = 0 }: EndpointPlace): string {
  return `${tenant} ${address} ${port}`
}
