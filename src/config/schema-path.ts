// The schema at a path: which keys it knows there, and what it expects.

import type { z } from 'zod'
import { quote } from './quote.ts'

export type Path = readonly PropertyKey[]

/** `tenants[3].apiServer.nodePort`, `pools["two words"]` */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    if (!/^[\w-]{1,100}$/.test(String(key))) return `${text}[${quote(String(key))}]`
    return text === '' ? String(key) : `${text}.${String(key)}`
  }, '')
}

/** What the data has there; undefined where there is nothing. */
export function valueAt(data: unknown, path: Path): unknown {
  let value = data
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Readonly<Record<PropertyKey, unknown>>)[key]
  }
  return value
}

/** The keys that an object at this path may have; empty where there is no object. */
export function knownKeysAt(root: z.core.$ZodType, path: Path): readonly string[] {
  const schema = schemaAt(root, path)
  const object = schema?.kind === 'union' ? objectOption(schema) : schema
  return object?.kind === 'object' ? Object.keys(object.shape) : []
}

/** In words, for an error. */
export function expectedAt(root: z.core.$ZodType, path: Path): string | undefined {
  return schemaAt(root, path)?.description
}

/** Every single value outside lists and maps, with its path: what an environment variable can override. */
export function* scalarPaths(schema: z.core.$ZodType, path: readonly string[] = []): Generator<{ readonly path: readonly string[]; readonly isNumber: boolean }> {
  const { kind, shape, isNumber } = unwrap(schema)
  if (kind === 'object') {
    for (const [key, inner] of Object.entries(shape)) yield* scalarPaths(inner, [...path, key])
  } else if (kind === 'scalar') {
    yield { path, isNumber }
  }
}

interface Unwrapped {
  readonly kind: 'object' | 'array' | 'record' | 'union' | 'scalar'
  readonly shape: Readonly<Record<string, z.core.$ZodType>>
  /** Of an array or a record. */
  readonly element?: z.core.$ZodType
  /** Of a union: the one that is an object. */
  readonly options: readonly z.core.$ZodType[]
  readonly isNumber: boolean
  readonly description?: string
}

function schemaAt(root: z.core.$ZodType, path: Path): Unwrapped | undefined {
  let current: z.core.$ZodType | undefined = root
  for (const key of path) {
    if (current === undefined) return undefined
    current = step(unwrap(current), key)
  }
  return current === undefined ? undefined : unwrap(current)
}

function step(from: Unwrapped, key: PropertyKey): z.core.$ZodType | undefined {
  switch (from.kind) {
    case 'object': return from.shape[String(key)]
    case 'array':
    case 'record': return from.element
    case 'union': {
      const object = objectOption(from)
      return object === undefined ? undefined : step(object, key)
    }
    case 'scalar': return undefined
    default: return from.kind satisfies never
  }
}

function objectOption({ options }: Unwrapped): Unwrapped | undefined {
  return options.map((option) => unwrap(option)).find(({ kind }) => kind === 'object')
}

/** Through optional, default, prefault and transform to what was written; the outermost description is the most telling. */
function unwrap(schema: z.core.$ZodType, outer?: string): Unwrapped {
  const described = outer ?? descriptionOf(schema)
  const { def } = schema._zod
  const facts = { shape: {}, options: [], isNumber: false, ...(described === undefined ? {} : { description: described }) }
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'prefault': return unwrap((def as z.core.$ZodOptionalDef).innerType, described)
    case 'pipe': return unwrap((def as z.core.$ZodPipeDef).in, described)
    case 'object': return { ...facts, kind: 'object', shape: (def as z.core.$ZodObjectDef).shape }
    case 'array': return { ...facts, kind: 'array', element: (def as z.core.$ZodArrayDef).element }
    case 'record': return { ...facts, kind: 'record', element: (def as z.core.$ZodRecordDef).valueType }
    case 'union': return { ...facts, kind: 'union', options: (def as z.core.$ZodUnionDef).options }
    default: return { ...facts, kind: 'scalar', isNumber: def.type === 'number' || def.type === 'int' }
  }
}

function descriptionOf(schema: z.core.$ZodType): string | undefined {
  return (schema as z.ZodType).description
}
