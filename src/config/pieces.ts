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
  readonly text: string
  readonly env: Environment
  /** What an earlier load with the same `env` gave. */
  readonly previous?: Pieces | undefined
}

/** @returns undefined: the whole load must tell */
export function loadPieces({ text, env, previous }: PiecesOptions): Pieces | undefined {
  // A value takes four characters at least: of a shorter file the whole load takes every value too.
  if (text.length > 4 * expandedNodesMax) return undefined
  const list = splitTenants(text, previous?.list)
  if (list === undefined || list.sources.length > tenantsMax) return undefined
  const frame = frameOf(list, env, previous?.frame)
  const parsed = frame === undefined ? undefined : parseItems(list, previous?.items ?? [])
  if (frame === undefined || parsed === undefined) return undefined
  const kept = previous !== undefined && sameForTenants(frame, previous.frame) ? previous : nothing
  const items = resolveItems(parsed, { list, frame, kept: kept.items })
  const claims = items === undefined ? undefined : claimsOf(items, { list, kept })
  if (items === undefined || claims === undefined) return undefined
  const named = [...frame.parsed.listeners.map(({ defaultTenant }) => defaultTenant), ...frame.parsed.egress.map(({ tenant }) => tenant)]
  const areKnown = frame.parsed.state.tenants === true || named.every((tenant) => tenant === undefined || claims.tenants.get(tenant) !== undefined)
  const tunnelHostnames = frame.parsed.tunnel?.hostnames ?? []
  return areKnown && tunnelHostnames.every((hostname) => claims.hostnames.get(hostname) === undefined) ? { frame, list, items, ...claims } : undefined
}

const nothing: Kept = { items: [], tenants: new ShardedMap(), hostnames: new ShardedMap() }

function frameOf({ text, indent, starts }: TenantItems, env: Environment, previous: Frame | undefined): Frame | undefined {
  const [before, after] = [text.slice(0, starts[0]), text.slice(starts.at(-1))]
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

/** @returns in the list's order; undefined where an item is not what it seems, or wrong */
function parseItems(list: TenantItems, known: readonly Item[]): readonly ParsedTenant[] | undefined {
  const parsed = list.sources.map((source) => known[source]?.parsed)
  const added = parsed.flatMap((tenant, index) => tenant === undefined ? index : [])
  for (let from = 0; from < added.length; from += itemsPerParse) {
    const batch = added.slice(from, from + itemsPerParse)
    const entries = entriesOf(batch.map((index) => itemAt(list, index)), list.indent)
    if (entries === undefined) return undefined
    for (const [at, index] of batch.entries()) {
      const tenant = tenantSchema.safeParse(entries[at])
      if (!tenant.success) return undefined
      parsed[index] = tenant.data
    }
  }
  return parsed as ParsedTenant[]
}

function entriesOf(items: readonly string[], indent: string): unknown[] | undefined {
  if (items.some((item) => unusual.test(item))) return undefined
  const entries = tenantsOf(parseFast(`tenants:\n${items.join(`${indent}- ${marker}\n`)}`)?.data)
  if (!Array.isArray(entries) || entries.length !== 2 * items.length - 1) return undefined
  const isSeparator = (index: number): boolean => index % 2 === 1
  if (!entries.every((entry, index) => !isSeparator(index) || entry === marker)) return undefined
  return entries.filter((_, index) => !isSeparator(index))
}

/** @returns in the list's order; undefined where an API server, a pool or a listener is wrong */
function resolveItems(parsed: readonly ParsedTenant[], { list, frame, kept }: { readonly list: TenantItems; readonly frame: Frame; readonly kept: readonly Item[] }): readonly Item[] | undefined {
  // Names and hostnames, and which tenants there are, is looked at with those that are kept.
  const fresh = new Map<number, TenantClaims>()
  for (const [index, { apiServer }] of parsed.entries()) {
    if (kept[list.sources[index] ?? noSource] === undefined) fresh.set(index, { hostnames: [], apiServer })
  }
  const { listeners, pools, egress, tunnel } = frame.parsed
  if (crossProblems({ listeners: new Map(listeners.entries()), tenants: fresh, pools, egress, hasTunnel: tunnel !== undefined }).length > 0) return undefined
  return parsed.map((tenant, index) => kept[list.sources[index] ?? noSource] ?? { parsed: tenant, resolved: resolveTenant(tenant, frame.parsed) })
}

/** @returns undefined where two tenants have one name or claim one hostname */
function claimsOf(items: readonly Item[], { list, kept }: { readonly list: TenantItems; readonly kept: Kept }): Pick<Pieces, 'tenants' | 'hostnames'> | undefined {
  const [tenants, hostnames] = [kept.tenants.draft(), kept.hostnames.draft()]
  const stays = new Uint8Array(kept.items.length)
  for (const source of list.sources) {
    // Out of range where nothing is kept, and for what is new: typed arrays take no notice.
    if (stays[source] === 1) return undefined
    stays[source] = 1
  }
  for (const [index, { resolved }] of kept.items.entries()) {
    if (stays[index] === 1) continue
    tenants.delete(resolved.name)
    for (const hostname of resolved.hostnames) hostnames.delete(hostname)
  }
  for (const [index, item] of items.entries()) {
    if (kept.items[list.sources[index] ?? noSource] === item) continue
    const { resolved } = item
    if (tenants.get(resolved.name) !== undefined) return undefined
    tenants.set(resolved.name, resolved)
    for (const hostname of resolved.hostnames) {
      if (hostnames.get(hostname) !== undefined) return undefined
      hostnames.set(hostname, resolved)
    }
  }
  return { tenants: tenants.done(), hostnames: hostnames.done() }
}
