// A file that is loaded again, mostly unchanged: tenants whose text is as before are not parsed and checked again.
//
//   text ─ tenant-items.ts ─▶ frame, the text around the list ─▶ listeners, pools, defaults …
//                             items, a text for each tenant  ─▶ known: as before · new: parsed, checked
//
// It gives what the whole load gives, or nothing: with any mistake, and wherever a part might mean something else alone
// than in its place, the whole load is asked. That a part is what it seems is seen from the parser's answer: a probe in the
// list's place must come out as the list's only entry, and between two items a separator must come out between two entries.

import { isDeepStrictEqual } from 'node:util'
import { ShardedMap } from '../core/sharded-map.ts'
import type { TenantSpec } from '../core/snapshot.ts'
import { expandedNodesMax } from './alias-expansion.ts'
import type { TenantClaims } from './claims.ts'
import { withOverrides, type Environment } from './environment.ts'
import { crossProblems, resolveTenant } from './resolve.ts'
import { configSchema, tenantSchema, tenantsMax, type ParsedConfig } from './schema.ts'
import { itemAt, noSource, splitTenants, type TenantItems } from './tenant-items.ts'
import { parseFast } from './yaml-source.ts'

export interface Pieces {
  readonly frame: Frame
  readonly list: TenantItems
  /** In the list's order. */
  readonly items: readonly Item[]
  /** By name. */
  readonly tenants: ShardedMap<TenantSpec>
  /** The tenants that claim them. */
  readonly hostnames: ShardedMap<TenantSpec>
}

interface Frame {
  readonly text: string
  /** Its list of tenants is empty. */
  readonly parsed: ParsedConfig
}

interface Item {
  readonly parsed: ParsedTenant
  readonly resolved: TenantSpec
}

/** What of an earlier load holds for this one. */
type Kept = Pick<Pieces, 'items' | 'tenants' | 'hostnames'>

type ParsedTenant = ParsedConfig['tenants'][number]

/** Stands in a list for what is left out: the probe, and the separator. */
const marker = 'sluice was here'
/** Parsed at once: a call of the parser costs as much as a tenant does. */
const itemsPerParse = 100
/** In an item: an anchor, which others may name; a document's end; what cuts lines or indents differently. */
const unusual = /[&\t\r]|\n---/

export interface PiecesOptions {
  /** UTF-8 throughout. They must stay as they are as long as what is returned is used. */
  readonly bytes: Buffer<ArrayBuffer>
  readonly env: Environment
  /** What an earlier load with the same `env` gave. */
  readonly previous?: Pieces | undefined
}

/** @returns undefined: the whole load must tell */
export function loadPieces({ bytes, env, previous }: PiecesOptions): Pieces | undefined {
  // A value takes four bytes at least: of a shorter file the whole load takes every value too.
  if (bytes.length > 4 * expandedNodesMax) return undefined
  const list = splitTenants(bytes, previous?.list)
  if (list === undefined || list.sources.length > tenantsMax) return undefined
  const frame = frameOf(list, env, previous?.frame)
  const parsed = frame === undefined ? undefined : parseNew(list)
  if (frame === undefined || parsed === undefined) return undefined
  const kept = previous !== undefined && sameForTenants(frame, previous.frame) ? previous : nothing
  const places = kept === nothing ? list.sources.keys() : parsed.keys()
  const added = resolveItems(new Map(Array.from(places, (place) => [place, parsed.get(place) ?? parsedAt(place, list, previous)])), frame)
  const claims = added === undefined ? undefined : claimsOf(added.values(), { list, kept })
  if (added === undefined || claims === undefined) return undefined
  const named = [...frame.parsed.listeners.map(({ defaultTenant }) => defaultTenant), ...frame.parsed.egress.map(({ tenant }) => tenant)]
  const areKnown = frame.parsed.state.tenants === true || named.every((tenant) => tenant === undefined || claims.tenants.get(tenant) !== undefined)
  const tunnelHostnames = frame.parsed.tunnel?.hostnames ?? []
  if (!areKnown || !tunnelHostnames.every((hostname) => claims.hostnames.get(hostname) === undefined)) return undefined
  return { frame, list, items: placed(list, kept.items, added), ...claims }
}

const nothing: Kept = { items: [], tenants: new ShardedMap(), hostnames: new ShardedMap() }

function frameOf({ bytes, indent, starts }: TenantItems, env: Environment, previous: Frame | undefined): Frame | undefined {
  const [before, after] = [bytes.toString('utf8', 0, starts[0]), bytes.toString('utf8', starts.at(-1))]
  const frameText = `${before}${indent}- ${marker}\n${after}`
  if (frameText === previous?.text) return previous
  if (before.includes(marker) || after.includes(marker)) return undefined
  const read = parseFast(frameText)
  if (read === undefined || !isDeepStrictEqual(tenantsOf(read.data), [marker])) return undefined
  const { data } = withOverrides(read.data, env, configSchema)
  const parsed = configSchema.safeParse({ ...(data as object), tenants: [] })
  return parsed.success ? { text: frameText, parsed: parsed.data } : undefined
}

function tenantsOf(data: unknown): unknown {
  return typeof data === 'object' && data !== null && 'tenants' in data ? data.tenants : undefined
}

/** Whether the rest of the two files gives tenants the same. */
function sameForTenants({ parsed: left }: Frame, { parsed: right }: Frame): boolean {
  return left === right || isDeepStrictEqual([left.defaults, left.pools], [right.defaults, right.pools])
}

/** @returns by their places in the list; undefined where an item is not what it seems, or wrong */
function parseNew(list: TenantItems): ReadonlyMap<number, ParsedTenant> | undefined {
  const places: number[] = []
  for (let place = list.sources.indexOf(noSource); place !== -1; place = list.sources.indexOf(noSource, place + 1)) places.push(place)
  const parsed = new Map<number, ParsedTenant>()
  for (let from = 0; from < places.length; from += itemsPerParse) {
    const batch = places.slice(from, from + itemsPerParse)
    const entries = entriesOf(batch.map((place) => itemAt(list, place)), list.indent)
    if (entries === undefined) return undefined
    for (const [at, place] of batch.entries()) {
      const tenant = tenantSchema.safeParse(entries[at])
      if (!tenant.success) return undefined
      parsed.set(place, tenant.data)
    }
  }
  return parsed
}

function entriesOf(items: readonly string[], indent: string): unknown[] | undefined {
  if (items.some((item) => unusual.test(item))) return undefined
  const entries = tenantsOf(parseFast(`tenants:\n${items.join(`${indent}- ${marker}\n`)}`)?.data)
  if (!Array.isArray(entries) || entries.length !== 2 * items.length - 1) return undefined
  const isSeparator = (index: number): boolean => index % 2 === 1
  if (!entries.every((entry, index) => !isSeparator(index) || entry === marker)) return undefined
  return entries.filter((_, index) => !isSeparator(index))
}

function parsedAt(place: number, list: TenantItems, previous: Pieces | undefined): ParsedTenant {
  const item = previous?.items[list.sources[place] ?? noSource]
  if (item === undefined) throw new Error('bug: an item that is neither new nor known')
  return item.parsed
}

/** @returns by their places in the list; undefined where an API server, a pool or a listener is wrong */
function resolveItems(parsed: ReadonlyMap<number, ParsedTenant>, frame: Frame): ReadonlyMap<number, Item> | undefined {
  // Names and hostnames, and which tenants there are, is looked at with those that are kept.
  const claims = new Map<number, TenantClaims>()
  for (const [place, { apiServer }] of parsed) claims.set(place, { hostnames: [], apiServer })
  const { listeners, pools, egress, tunnel } = frame.parsed
  if (crossProblems({ listeners: new Map(listeners.entries()), tenants: claims, pools, egress, hasTunnel: tunnel !== undefined }).length > 0) return undefined
  const items = new Map<number, Item>()
  for (const [place, tenant] of parsed) items.set(place, { parsed: tenant, resolved: resolveTenant(tenant, frame.parsed) })
  return items
}

/** @returns undefined where two tenants have one name or claim one hostname */
function claimsOf(added: Iterable<Item>, { list, kept }: { readonly list: TenantItems; readonly kept: Kept }): Pick<Pieces, 'tenants' | 'hostnames'> | undefined {
  const [tenants, hostnames] = [kept.tenants.draft(), kept.hostnames.draft()]
  const stays = new Uint8Array(kept.items.length)
  for (const source of list.sources) {
    // Out of range where nothing is kept, and for what is new: typed arrays take no notice.
    if (stays[source] === 1) return undefined
    stays[source] = 1
  }
  for (let index = stays.indexOf(0); index !== -1; index = stays.indexOf(0, index + 1)) {
    const { name = '', hostnames: claimed = [] } = kept.items[index]?.resolved ?? {}
    tenants.delete(name)
    for (const hostname of claimed) hostnames.delete(hostname)
  }
  for (const { resolved } of added) {
    if (!tenants.set(resolved.name, resolved)) return undefined
    for (const hostname of resolved.hostnames) {
      if (!hostnames.set(hostname, resolved)) return undefined
    }
  }
  return { tenants: tenants.done(), hostnames: hostnames.done() }
}

/** @returns in the list's order */
function placed({ sources }: TenantItems, kept: readonly Item[], added: ReadonlyMap<number, Item>): readonly Item[] {
  const items = Array<Item>(sources.length)
  // An iterator of pairs takes ten times as long.
  for (let place = 0; place < sources.length; place++) {
    const source = sources[place] ?? noSource
    const item = source === noSource ? undefined : kept[source]
    if (item !== undefined) items[place] = item
  }
  for (const [place, item] of added) items[place] = item
  return items
}
