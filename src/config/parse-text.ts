// A configuration file's text by its schema, or every problem that it has.
//
//   text ─ parser ─▶ data ─ overrides ─▶ schema ─▶ checks between keys ─▶ parsed
//                                          └─ problems, by path ─┴─ lines of the file ─▶ ConfigError

import { basename } from 'node:path'
import type { z } from 'zod'
import { ConfigError, problemsShownMax, type ConfigProblem } from './config-error.ts'
import { withOverrides, type Environment } from './environment.ts'
import { nearestName } from './nearest.ts'
import { quote } from './quote.ts'
import type { PathProblem } from './resolve.ts'
import { expectedAt, formatPath, knownKeysAt, valueAt, type Path } from './schema-path.ts'
import { nameRule } from './schema-parts.ts'
import { parseFast, YamlSource, type Place } from './yaml-source.ts'

export interface LoadOptions {
  readonly file: string
  /** Variables that override single values. */
  readonly env: Environment
}

export interface TextOptions extends LoadOptions {
  readonly text: string
}

export interface Grammar<Parsed> {
  readonly schema: z.ZodType<Parsed>
  /** The key that an empty file lacks. */
  readonly needed: string
  /** What no key alone can tell. @param parsed undefined: the schema has found mistakes, and only `data` is there */
  readonly crossProblems: (parsed: Parsed | undefined, data: unknown) => readonly PathProblem[]
}

/** @throws {ConfigError} with every problem, each with its line */
export function parseText<Parsed>({ file, env, text }: TextOptions, grammar: Grammar<Parsed>): Parsed {
  const name = basename(file)
  const fast = parseFast(text)
  const source = fast === undefined ? new YamlSource(name, text) : undefined
  const { data, overridden } = withOverrides(source === undefined ? fast?.data : dataOf(source), env, grammar.schema)
  const checked = check(data, grammar)
  if (checked.kind === 'parsed') return checked.parsed
  throw new ConfigError(placed(checked.problems, { source: source ?? new YamlSource(name, text), name, overridden }))
}

function dataOf(source: YamlSource): unknown {
  const syntax = source.problems()
  if (syntax.length > 0) throw new ConfigError(syntax)
  const read = source.data()
  if (read.kind === 'problem') throw new ConfigError([read.problem])
  return read.data
}

type Checked<Parsed> =
  | { readonly kind: 'parsed'; readonly parsed: Parsed }
  | { readonly kind: 'problems'; readonly problems: readonly PathProblem[] }

function check<Parsed>(data: unknown, { schema, needed, crossProblems: cross }: Grammar<Parsed>): Checked<Parsed> {
  if (data === null || data === undefined) return { kind: 'problems', problems: [{ path: [], message: 'the file is empty', expected: `at least ${needed}` }] }
  const parsed = schema.safeParse(data)
  if (!parsed.success) {
    const { issues } = parsed.error
    const withUnknownKeys = new Set(issues.flatMap(({ code, path }) => code === 'unrecognized_keys' ? formatPath(path) : []))
    // Which keys an object must have: what seems to be missing may be meant by one that is unknown.
    const told = withUnknownKeys.size === 0 ? issues : issues.filter(({ code, path }) => code !== 'custom' || !withUnknownKeys.has(formatPath(path)))
    const problems = told.flatMap((issue) => issueProblems(issue, data, schema))
    return { kind: 'problems', problems: [...problems, ...cross(undefined, data)] }
  }
  const problems = cross(parsed.data, data)
  return problems.length > 0 ? { kind: 'problems', problems } : { kind: 'parsed', parsed: parsed.data }
}

function issueProblems(issue: z.core.$ZodIssue, data: unknown, schema: z.core.$ZodType): PathProblem[] {
  const { path } = issue
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey([...path, key], key, schema))
    case 'invalid_union': {
      // A list entry that may be a text or an object: what is wrong with the one that was written.
      const value = valueAt(data, path)
      const branch = issue.errors.find((issues) => !issues.some((inner) => inner.code === 'invalid_type' && inner.path.length === 0))
      if (branch === undefined) return [{ path, message: describe(value), ...expectation(schema, path) }]
      return branch.flatMap((inner) => issueProblems({ ...inner, path: [...path, ...inner.path] }, data, schema))
    }
    case 'invalid_key':
      return [{ path, message: `${quote(String(path.at(-1)))} is no name`, expected: nameRule, key: true }]
    case 'custom':
      return [{ path, message: issue.message, ...expectation(schema, path) }]
    default: {
      const value = valueAt(data, path)
      return [{ path, message: value === undefined ? 'missing' : describe(value), ...expectation(schema, path) }]
    }
  }
}

function unknownKey(path: Path, key: string, schema: z.core.$ZodType): PathProblem {
  const known = knownKeysAt(schema, path.slice(0, -1))
  const [list, , ...rest] = path
  const inDefaults: Path = ['defaults', ...rest]
  const processWide = list === 'tenants' && rest.length > 1 ? expectedAt(schema, inDefaults) : undefined
  if (processWide !== undefined) return { path, key: true, message: 'holds for the whole process, not for a tenant', expected: `${formatPath(inDefaults)}, ${processWide}` }
  return { path, key: true, message: 'unknown key', expected: `one of ${known.join(', ')}`, unknown: { name: key, known } }
}

function expectation(schema: z.core.$ZodType, path: Path): { readonly expected?: string } {
  const expected = expectedAt(schema, path)
  return expected === undefined ? {} : { expected }
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'string' ? quote(value) : String(value)
}

/** For the nearest names of all problems: some seconds. Later ones do without. */
const comparisonsMax = 2_000_000

/** In the order of the file, what the environment gave first. */
function placed(problems: readonly PathProblem[], { source, name, overridden }: Places): ConfigProblem[] {
  const placeOf = (problem: PathProblem): ProblemPlace => {
    const variable = overridden.get(formatPath(problem.path))
    return variable === undefined ? { problem, file: name, at: source.place(problem.path, { key: problem.key ?? false }) } : { problem, file: `environment variable ${variable}` }
  }
  let comparisonsLeft = comparisonsMax
  return problems.map(placeOf)
    .toSorted((left, right) => (left.at?.line ?? 0) - (right.at?.line ?? 0) || (left.at?.column ?? 0) - (right.at?.column ?? 0))
    .map((each, index) => {
      const compared = index < problemsShownMax ? each.problem.unknown?.known.length ?? 0 : Infinity
      comparisonsLeft -= compared
      return described(each, source, comparisonsLeft >= 0)
    })
}

interface Places {
  readonly source: YamlSource
  /** Of the file. */
  readonly name: string
  /** The paths that variables gave, each with its variable. */
  readonly overridden: ReadonlyMap<string, string>
}

interface ProblemPlace {
  readonly problem: PathProblem
  readonly file: string
  readonly at?: Place
}

function described({ problem, file, at }: ProblemPlace, source: YamlSource, mayCompare: boolean): ConfigProblem {
  const { path, message, expected, unknown, other } = problem
  const nearest = unknown === undefined || !mayCompare ? undefined : nearestName(unknown.name, unknown.known)
  return {
    file,
    ...at,
    path: formatPath(path),
    message: other === undefined ? message : `${message} ${formatPath(other)} (line ${source.place(other, { key: false }).line}) already`,
    ...(nearest === undefined ? {} : { nearest }),
    ...(nearest !== undefined || expected === undefined ? {} : { expected }),
  }
}
