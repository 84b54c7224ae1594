// Which agents a tenant has, what each of them says that it reaches, and which of them are asked for a destination, in what
// order:
//
//   1. the node whose own address, or whose name, it is
//   2. agents that announce a range with it, the longest prefix first; or a host name
//
// Tenants never see each other's agents: a table is asked for one tenant's. The node that said first that an address is its own
// keeps it until its last session has ended; who comes later waits in line. Every gateway that knows of the same sessions
// decides the same.

import { CidrMap } from '../net/cidr-map.ts'
import { canonicalAddress } from '../net/ip-address.ts'

/** What an agent says that it reaches. */
export interface Announced {
  /** The node's own, as `canonicalAddress` writes them. */
  readonly addresses: readonly string[]
  /** As `formatCidr` writes them. */
  readonly ranges: readonly string[]
  /** Host names in lower case, `*.` for every name below. */
  readonly names: readonly string[]
  /** Its node is not reached by its own name. */
  readonly isNameRefused?: true
}

/** A session by which a tenant's node is reached. `Way` says how, to whoever opens a stream. */
export interface Reachable<Way> {
  /** The session's. */
  readonly id: string
  readonly tenant: string
  readonly keyId: string
  readonly node: string
  /** Unix time since when its node has had a session without a break. Earlier ones come first in line for an address; of equals, the one with the smaller id. */
  readonly sinceMs: number
  readonly announced: Announced
  readonly way: Way
  /** 0: this thread's; more is farther. */
  readonly distance: number
}

export const agentTableLimits = {
  /** Agents that are looked at for one destination: of more that announce the same, a random stretch. */
  sampleMax: 32,
  /** A session whose dials fail comes behind the others of its kind for so long. */
  penaltyMs: 30_000,
} as const

interface Seat<Way> extends Reachable<Way> {
  failures: number
  failedAtMs: number
}

interface TenantAgents<Way> {
  readonly byId: Map<string, Seat<Way>>
  /** Each in line, the owner first. */
  readonly byAddress: Map<string, Seat<Way>[]>
  readonly byRange: CidrMap<Seat<Way>[]>
  /** By the node's name. Each in line, the owner first. */
  readonly byNode: Map<string, Seat<Way>[]>
  readonly byName: Map<string, Seat<Way>[]>
}

export class AgentTable<Way> {
  readonly #tenants = new Map<string, TenantAgents<Way>>()
  readonly #tenantOf = new Map<string, string>()
  /** By tenant: addresses that have passed from one node to another since `takePassed`. */
  readonly #passed = new Map<string, Set<string>>()

  /** Sessions. */
  get size(): number {
    return this.#tenantOf.size
  }

  /** Sessions of a tenant. */
  count(tenant: string): number {
    return this.#tenants.get(tenant)?.byId.size ?? 0
  }

  get(id: string): Reachable<Way> | undefined {
    return this.#tenants.get(this.#tenantOf.get(id) ?? '')?.byId.get(id)
  }

  /** In place of one with the same id. */
  add(session: Reachable<Way>): void {
    this.remove(session.id)
    const { id, tenant, node, announced: { addresses, ranges, names } } = session
    const agents = this.#tenants.get(tenant) ?? { byId: new Map(), byAddress: new Map(), byRange: new CidrMap(), byNode: new Map(), byName: new Map() }
    this.#tenants.set(tenant, agents)
    this.#tenantOf.set(id, tenant)
    const seat: Seat<Way> = { ...session, failures: 0, failedAtMs: -Infinity }
    agents.byId.set(id, seat)
    for (const address of addresses) {
      const line = agents.byAddress.get(address)
      const owner = line?.[0]
      agents.byAddress.set(address, inLine(line, seat))
      this.#mayHavePassed(agents, seat, address, owner)
    }
    for (const range of ranges) agents.byRange.set(range, inLine(agents.byRange.get(range), seat))
    for (const name of names) agents.byName.set(name, inLine(agents.byName.get(name), seat))
    agents.byNode.set(node, inLine(agents.byNode.get(node), seat))
  }

  remove(id: string): void {
    const tenant = this.#tenantOf.get(id)
    const agents = this.#tenants.get(tenant ?? '')
    const seat = agents?.byId.get(id)
    if (tenant === undefined || agents === undefined || seat === undefined) return
    this.#tenantOf.delete(id)
    agents.byId.delete(id)
    if (agents.byId.size === 0) {
      this.#tenants.delete(tenant)
      this.#passed.delete(tenant)
      return
    }
    const { node, announced: { addresses, ranges, names } } = seat
    for (const address of addresses) {
      const owner = agents.byAddress.get(address)?.[0]
      leave(agents.byAddress, address, seat)
      this.#mayHavePassed(agents, seat, address, owner)
    }
    for (const range of ranges) leave(agents.byRange, range, seat)
    for (const name of names) leave(agents.byName, name, seat)
    leave(agents.byNode, node, seat)
  }

  /** Since when the node has had a session without a break; undefined: it has none. */
  since({ tenant, node, keyId }: Pick<Reachable<Way>, 'tenant' | 'node' | 'keyId'>): number | undefined {
    return this.#tenants.get(tenant)?.byNode.get(node)?.find((seat) => seat.keyId === keyId)?.sinceMs
  }

  /**
   * Of the session's own addresses, those that another node had first.
   * @returns each with that node's name
   */
  takenAddresses(id: string): readonly { readonly address: string; readonly owner: string }[] {
    const agents = this.#tenants.get(this.#tenantOf.get(id) ?? '')
    const seat = agents?.byId.get(id)
    return (seat?.announced.addresses ?? []).flatMap((address) => {
      const owner = agents?.byAddress.get(address)?.[0]
      return owner === undefined || owner.keyId === seat?.keyId ? [] : [{ address, owner: owner.node }]
    })
  }

  /** Whether there is anything for `takePassed`. */
  get hasPassed(): boolean {
    return this.#passed.size > 0
  }

  /** Of this thread's sessions, those that announce an address which has passed from one node to another since this was last asked for. */
  takePassed(): readonly Reachable<Way>[] {
    const lines = [...this.#passed].flatMap(([tenant, addresses]) => [...addresses].map((address) => this.#tenants.get(tenant)?.byAddress.get(address) ?? []))
    this.#passed.clear()
    return [...new Set(lines.flat())].filter(({ distance }) => distance === 0)
  }

  /** @param owner before */
  #mayHavePassed(agents: TenantAgents<Way>, { tenant }: Seat<Way>, address: string, owner: Seat<Way> | undefined): void {
    const next = agents.byAddress.get(address)?.[0]
    if (owner === undefined || next === undefined || next.keyId === owner.keyId) return
    const passed = this.#passed.get(tenant) ?? new Set()
    this.#passed.set(tenant, passed.add(address))
  }

  /**
   * Who may be asked to dial this, best first; empty: nobody says that they reach it.
   * @param host an address or a name, as it was asked for
   * @param random 0 to 1
   */
  candidates(tenant: string, host: string, { nowMs, random }: { readonly nowMs: number; readonly random: () => number }): readonly Reachable<Way>[] {
    const agents = this.#tenants.get(tenant)
    if (agents === undefined) return []
    const address = canonicalAddress(host)
    const tiers = address === undefined ? byName(agents, host) : [ownersOf(agents.byAddress.get(address)), ...agents.byRange.containing(address)]
    const found = new Set<Seat<Way>>()
    for (const tier of tiers) for (const seat of ordered(tier, nowMs, random)) found.add(seat)
    return [...found]
  }

  /** A dial by this session failed, through no fault of who asked. */
  failed(id: string, nowMs: number): void {
    const seat = this.#seatOf(id)
    if (seat === undefined) return
    seat.failures += 1
    seat.failedAtMs = nowMs
  }

  succeeded(id: string): void {
    const seat = this.#seatOf(id)
    if (seat !== undefined) seat.failures = 0
  }

  #seatOf(id: string): Seat<Way> | undefined {
    return this.#tenants.get(this.#tenantOf.get(id) ?? '')?.byId.get(id)
  }
}

function inLine<Way>(line: Seat<Way>[] | undefined, seat: Seat<Way>): Seat<Way>[] {
  if (line === undefined) return [seat]
  const at = line.findIndex((other) => other.sinceMs > seat.sinceMs || (other.sinceMs === seat.sinceMs && other.id > seat.id))
  line.splice(at === -1 ? line.length : at, 0, seat)
  return line
}

function leave<Way>(lines: { get(key: string): Seat<Way>[] | undefined; delete(key: string): unknown }, key: string, seat: Seat<Way>): void {
  const line = lines.get(key)
  const at = line?.indexOf(seat) ?? -1
  if (at !== -1) line?.splice(at, 1)
  if (line?.length === 0) lines.delete(key)
}

/** All sessions of the node that has the address. */
function ownersOf<Way>(line: readonly Seat<Way>[] = []): readonly Seat<Way>[] {
  return line.filter(({ keyId }) => keyId === line[0]?.keyId)
}

function byName<Way>({ byNode: nodes, byName: names }: TenantAgents<Way>, host: string): readonly (readonly Seat<Way>[])[] {
  const name = host.toLowerCase().replace(/\.$/, '')
  const owners = ownersOf(nodes.get(name)?.filter(({ announced }) => announced.isNameRefused !== true))
  // What a node is called, others can't claim.
  if (owners.length > 0) return [owners]
  const labels = name.split('.')
  const wildcards = labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`)
  return [name, ...wildcards].map((each) => names.get(each) ?? [])
}

/** Those that worked before those that failed of late; then the nearest; of equals, whoever the stretch begins with. */
function ordered<Way>(line: readonly Seat<Way>[], nowMs: number, random: () => number): readonly Seat<Way>[] {
  const start = line.length <= 1 ? 0 : Math.floor(random() * line.length)
  const stretch = Array.from({ length: Math.min(line.length, agentTableLimits.sampleMax) }, (_, index) => line[(start + index) % line.length]).filter((seat) => seat !== undefined)
  const penalty = ({ failures, failedAtMs }: Seat<Way>): number => nowMs - failedAtMs < agentTableLimits.penaltyMs ? failures : 0
  return stretch.length <= 1 ? stretch : stretch.toSorted((one, other) => penalty(one) - penalty(other) || one.distance - other.distance)
}
