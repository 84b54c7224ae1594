// Tenants that are written one by one into a store, beside those of the file. Each is a text as a tenant of the file has it, below its name.
//
//   text ─▶ parsed ─▶ checked against the file and the others ─▶ among the tenants
//                └─ refused ─┴─▶ the last that was good stays, and this one is looked at again with each change of the others
//
// The file goes first: what it claims, a stored tenant can't. Of two stored ones the one that has a hostname keeps it.

import { ShardedMap, type ShardedMapDraft } from '../core/sharded-map.ts'
import type { TenantSpec } from '../core/snapshot.ts'
import { ConfigError, type ConfigProblem } from './config-error.ts'
import type { LoadedConfig } from './config-loader.ts'
import { nearestName } from './nearest.ts'
import { parseText } from './parse-text.ts'
import { crossProblems, resolveTenant, type PathProblem } from './resolve.ts'
import { formatPath } from './schema-path.ts'
import { tenantSchema, tenantsMax, type ParsedConfig } from './schema.ts'

export interface StoredTenantChange {
  readonly name: string
  /** Undefined: it is gone. */
  readonly text: string | undefined
}

export interface MergedConfig {
  readonly config: LoadedConfig
  /** Of those that are refused, each time anew. */
  readonly refused: readonly ConfigProblem[]
}

type ParsedTenant = ParsedConfig['tenants'][number]

/** What was written last, as far as it was looked at. */
type Written = { readonly kind: 'gone' } | { readonly kind: 'parsed'; readonly tenant: ParsedTenant } | { readonly kind: 'wrong'; readonly problems: readonly ConfigProblem[] }

export class StoredTenants {
  /** By name: what holds. */
  readonly #good = new Map<string, ParsedTenant>()
  /** By name: what was written and does not hold, or not yet. */
  readonly #written = new Map<string, Written>()
  #file: LoadedConfig | undefined
  #merged: LoadedConfig | undefined
  /** Those of the file and of its tunnel; then those of stored tenants that hold. With whose they are. */
  #owners = new Map<string, string>()

  /** What follows from it is told by `mergedWith`. */
  change(changes: Iterable<StoredTenantChange>): void {
    for (const { name, text } of changes) this.#written.set(name, text === undefined ? { kind: 'gone' } : parsed(name, text))
  }

  mergedWith(file: LoadedConfig): MergedConfig {
    if (this.#good.size === 0 && this.#written.size === 0) return { config: file, refused: [] }
    const draft = file === this.#file && this.#merged !== undefined ? this.#merged.tenants.draft() : this.#beginWith(file)
    this.#file = file
    let refused: ConfigProblem[] = []
    for (let before = Infinity; this.#written.size < before;) {
      before = this.#written.size
      refused = []
      // One that gives up a hostname may let in another that was looked at before it.
      for (const [name, written] of this.#written) {
        const problems = this.#take({ name, written, file, draft })
        if (problems.length === 0) this.#written.delete(name)
        refused.push(...problems)
      }
    }
    const tenants = draft.done()
    const hostnameCount = this.#owners.size - (file.settings.tunnel?.hostnames.length ?? 0)
    this.#merged = { ...file, tenants, hostnameCount }
    return { config: this.#merged, refused }
  }

  /** Another file: all that held before is looked at again, as if it were written now, behind what has been written since. */
  #beginWith(file: LoadedConfig): ShardedMapDraft<TenantSpec> {
    this.#owners = new Map(file.settings.tunnel?.hostnames.map((hostname) => [hostname, 'the tunnel']))
    for (const { after } of file.tenants.changesSince(new ShardedMap())) {
      for (const hostname of after?.hostnames ?? []) this.#owners.set(hostname, `the file’s tenant ${after?.name}`)
    }
    const draft = file.tenants.draft()
    const before = [...this.#good]
    this.#good.clear()
    for (const [name, tenant] of before) {
      const written: Written = { kind: 'parsed', tenant }
      if (this.#take({ name, written, file, draft }).length > 0 && !this.#written.has(name)) this.#written.set(name, written)
    }
    return draft
  }

  /** @returns why not: then what held before holds on */
  #take({ name, written, file, draft }: { readonly name: string; readonly written: Written; readonly file: LoadedConfig; readonly draft: ShardedMapDraft<TenantSpec> }): readonly ConfigProblem[] {
    if (written.kind === 'wrong') return written.problems
    const tenant = written.kind === 'parsed' ? written.tenant : undefined
    const problems = tenant === undefined ? [] : this.#problemsOf(name, tenant, file, draft)
    if (problems.length > 0) return problems
    const before = this.#good.get(name)
    for (const hostname of before?.hostnames ?? []) this.#owners.delete(hostname)
    this.#good.delete(name)
    if (tenant !== undefined) {
      for (const hostname of tenant.hostnames) this.#owners.set(hostname, `the tenant ${name}`)
      this.#good.set(name, tenant)
      draft.set(name, resolveTenant(tenant, file.shared))
    } else if (before !== undefined) draft.delete(name)
    return []
  }

  #problemsOf(name: string, tenant: ParsedTenant, file: LoadedConfig, draft: ShardedMapDraft<TenantSpec>): readonly ConfigProblem[] {
    const problem = (path: string, message: string, expected: string): ConfigProblem => ({ file: fileOf(name), path, message, expected })
    if (file.tenants.get(name) !== undefined) return [problem('name', `the file has a tenant ${name}`, 'a tenant in one of the two')]
    const own = new Set(this.#good.get(name)?.hostnames)
    if (!this.#good.has(name) && draft.size >= tenantsMax) return [problem('', `there are ${tenantsMax} tenants`, 'no more than that')]
    return [
      ...crossProblems({ listeners: new Map(), tenants: new Map([[0, tenant]]), pools: file.shared.pools }).map((each) => placed(name, each)),
      ...tenant.hostnames.flatMap((hostname, at) => {
        const owner = own.has(hostname) ? undefined : this.#owners.get(hostname)
        return owner === undefined ? [] : [problem(`hostnames[${at}]`, `hostname ${hostname} is claimed by ${owner} already`, 'each hostname once')]
      }),
    ]
  }
}

function parsed(name: string, text: string): Written {
  const ownName = (tenant: ParsedTenant | undefined): readonly PathProblem[] =>
    tenant === undefined || tenant.name === name ? [] : [{ path: ['name'], message: `the name is ${tenant.name}`, expected: `${name}, as where it is kept` }]
  try {
    return { kind: 'parsed', tenant: parseText({ file: name, env: {}, text }, { schema: tenantSchema, needed: 'name, hostnames and apiServer', crossProblems: ownName }) }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { kind: 'wrong', problems: error.problems.map((problem) => Object.assign({}, problem, { file: fileOf(name) })) }
  }
}

/** A problem of the only tenant of a list, as one of its own text. */
function placed(name: string, { path, message, expected, unknown, other }: PathProblem): ConfigProblem {
  const nearest = unknown === undefined ? undefined : nearestName(unknown.name, unknown.known)
  return {
    file: fileOf(name), path: formatPath(path.slice(2)),
    message: other === undefined ? message : `${message} ${formatPath(other.slice(2))} already`,
    ...(nearest === undefined ? {} : { nearest }),
    ...(nearest !== undefined || expected === undefined ? {} : { expected }),
  }
}

/** As in the store. */
function fileOf(name: string): string {
  return `tenants/${name}`
}
