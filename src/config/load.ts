// A file to a `Config`, or to every problem that it has.
//
//   text ─ fast parser ─▶ data ─ overrides ─▶ schema ─▶ checks between keys ─▶ Config
//             └─ anything wrong ─▶ reference parser ─▶ the same, with lines ─▶ ConfigError

import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import type { z } from 'zod'
import type { Config } from './config.ts'
import { ConfigError, type ConfigProblem } from './config-error.ts'
import { withOverrides, type Environment } from './environment.ts'
import { nearestName } from './nearest.ts'
import { crossProblems, resolve, type PathProblem, type TenantClaims, type WellFormed } from './resolve.ts'
import { expectedAt, formatPath, knownKeysAt, type Path } from './schema-path.ts'
import { configSchema, listenerSchema, tenantSchema, type poolSchema } from './schema.ts'
import { parseFast, YamlSource } from './yaml-source.ts'

/** A larger file is refused before it is read: some 250,000 tenants fit. */
export const fileBytesMax = 128 * 1024 * 1024

export interface LoadOptions {
  readonly file: string
  /** Variables that override single values. */
  readonly env: Environment
}

/** @throws {ConfigError} */
export function loadConfig({ file, env }: LoadOptions): Config {
  return parseConfig({ file, env, text: readConfigFile(file) })
}

/**
 * @param options `file` names the file in problems; it is not read
 * @throws {ConfigError}
 */
export function parseConfig({ file, env, text }: LoadOptions & { readonly text: string }): Config {
  const fast = parseFast(text)
  const checked = fast === undefined ? undefined : check(withOverrides(fast.data, env).data)
  if (checked?.kind === 'config') return checked.config

  const name = basename(file)
  const source = new YamlSource(name, text)
  const syntax = source.problems()
  if (syntax.length > 0) throw new ConfigError(syntax)
  const { data, overridden } = withOverrides(dataOf(source, name), env)
  const again = check(data)
  if (again.kind === 'config') return again.config
  const placed = again.problems.map((problem) => place(problem, source, name, overridden))
  throw new ConfigError(placed.toSorted((left, right) => (left.line ?? 0) - (right.line ?? 0) || (left.column ?? 0) - (right.column ?? 0)))
}

function readConfigFile(file: string): string {
  try {
    const { size } = statSync(file)
    if (size > fileBytesMax) throw new ConfigError([{ file, path: '', message: `the file has ${size} bytes`, expected: `at most ${fileBytesMax}` }])
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError || !(error instanceof Error)) throw error
    throw new ConfigError([{ file, path: '', message: `can't be read: ${error.message}` }])
  }
}

function dataOf(source: YamlSource, name: string): unknown {
  try {
    return source.data()
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    throw new ConfigError([{ file: name, path: '', message: error.message, expected: 'aliases that expand to little' }])
  }
}

type Checked =
  | { readonly kind: 'config'; readonly config: Config }
  | { readonly kind: 'problems'; readonly problems: readonly PathProblem[] }

function check(data: unknown): Checked {
  if (data === null || data === undefined) return { kind: 'problems', problems: [{ path: [], message: 'the file is empty', expected: 'at least listeners' }] }
  const parsed = configSchema.safeParse(data)
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => issueProblems(issue, data))
    return { kind: 'problems', problems: [...problems, ...crossProblems(wellFormedOf(data))] }
  }
  const { listeners, tenants, pools } = parsed.data
  const problems = crossProblems({ listeners: indexed(listeners), tenants: indexed(tenants), claims: indexed(tenants), pools, tenantsComplete: true })
  return problems.length > 0 ? { kind: 'problems', problems } : { kind: 'config', config: resolve(parsed.data) }
}

function indexed<Value>(values: readonly Value[]): ReadonlyMap<number, Value> {
  return new Map(values.entries())
}

/** The parts of a broken file that are right on their own. */
function wellFormedOf(data: unknown): WellFormed {
  const listeners = partsOf(valueAt(data, ['listeners']), listenerSchema)
  const tenants = partsOf(valueAt(data, ['tenants']), tenantSchema)
  const pools = configSchema.shape.pools.safeParse(valueAt(data, ['pools']))
  const rawPools = valueAt(data, ['pools'])
  return {
    listeners,
    tenants,
    claims: claimsOf(valueAt(data, ['tenants'])),
    // A broken pool is told of already; that it exists is enough for those who name it.
    pools: pools.success ? pools.data : namesOnly(rawPools),
    tenantsComplete: tenants.size === lengthOf(valueAt(data, ['tenants'])),
  }
}

function claimsOf(tenants: unknown): ReadonlyMap<number, TenantClaims> {
  if (!Array.isArray(tenants)) return new Map()
  return indexed(tenants.map((tenant: unknown): TenantClaims => {
    const name = tenantSchema.shape.name.safeParse(valueAt(tenant, ['name']))
    const hostnames = valueAt(tenant, ['hostnames'])
    return {
      name: name.data,
      hostnames: Array.isArray(hostnames) ? hostnames.map((hostname) => tenantSchema.shape.hostnames.element.safeParse(hostname).data) : [],
    }
  }))
}

function namesOnly(pools: unknown): z.output<typeof configSchema>['pools'] | undefined {
  if (typeof pools !== 'object' || pools === null) return undefined
  return Object.fromEntries(Object.keys(pools).map((key) => [key, { addresses: [] } satisfies z.output<typeof poolSchema>]))
}

function partsOf<Schema extends z.ZodType>(values: unknown, schema: Schema): ReadonlyMap<number, z.output<Schema>> {
  const parts = new Map<number, z.output<Schema>>()
  if (!Array.isArray(values)) return parts
  for (const [index, value] of values.entries()) {
    const parsed = schema.safeParse(value)
    if (parsed.success) parts.set(index, parsed.data)
  }
  return parts
}

function lengthOf(values: unknown): number {
  return Array.isArray(values) ? values.length : 0
}

function issueProblems(issue: z.core.$ZodIssue, data: unknown): PathProblem[] {
  const { path } = issue
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey([...path, key], key, knownKeysAt(path)))
    case 'invalid_union': {
      // A list entry that may be a text or an object: what is wrong with the one that was written.
      const value = valueAt(data, path)
      const branch = issue.errors.find((issues) => !issues.some((inner) => inner.code === 'invalid_type' && inner.path.length === 0))
      if (branch === undefined) return [{ path, message: describe(value), ...expectation(path) }]
      return branch.flatMap((inner) => issueProblems({ ...inner, path: [...path, ...inner.path] }, data))
    }
    case 'invalid_key':
      return [{ path, message: `${JSON.stringify(String(path.at(-1)))} is no name`, expected: 'lower-case letters, digits, dots and hyphens', key: true }]
    case 'custom':
      return [{ path, message: issue.message, ...expectation(path) }]
    default: {
      const value = valueAt(data, path)
      return [{ path, message: value === undefined ? 'missing' : describe(value), ...expectation(path) }]
    }
  }
}

function unknownKey(path: Path, key: string, known: readonly string[]): PathProblem {
  const nearest = nearestName(key, known)
  return { path, key: true, message: 'unknown key', ...(nearest === undefined ? { expected: `one of ${known.join(', ')}` } : { nearest }) }
}

function expectation(path: Path): { readonly expected?: string } {
  const expected = expectedAt(path)
  return expected === undefined ? {} : { expected }
}

function valueAt(data: unknown, path: Path): unknown {
  let value = data
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Readonly<Record<PropertyKey, unknown>>)[key]
  }
  return value
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return JSON.stringify(value)
}

function place({ path, message, expected, nearest, key }: PathProblem, source: YamlSource, name: string, overridden: ReadonlyMap<string, string>): ConfigProblem {
  const text = formatPath(path)
  const variable = overridden.get(text)
  return {
    ...(variable === undefined ? { file: name, ...source.place(path, { key: key ?? false }) } : { file: `environment variable ${variable}` }),
    path: text,
    message,
    ...(expected === undefined ? {} : { expected }),
    ...(nearest === undefined ? {} : { nearest }),
  }
}
