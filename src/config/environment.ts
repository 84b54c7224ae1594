// Environment variables that override single values: `SLUICE_ADMIN_ADDRESS` stands for `admin.address`.
//
// The names follow from the schema. A variable that matches nothing is left alone: Kubernetes puts SLUICE_SERVICE_HOST and
// the like into every pod beside a service called sluice.

import type { z } from 'zod'
import { formatPath, scalarPaths, type Path } from './schema-path.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** `defaults.timeouts.halfClosed` ▶ `SLUICE_DEFAULTS_TIMEOUTS_HALF_CLOSED` */
function variableName(path: Path): string {
  const words = path.map((key) => String(key).replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase())
  return ['SLUICE', ...words].join('_')
}

/** The data with the variables' values in place, and the paths that they gave, each with its variable. */
export function withOverrides(data: unknown, env: Environment, schema: z.core.$ZodType): { readonly data: unknown; readonly overridden: ReadonlyMap<string, string> } {
  const overridden = new Map<string, string>()
  let result = data
  for (const { path, isNumber } of scalarPaths(schema)) {
    const variable = variableName(path)
    const value = env[variable]
    if (value === undefined) continue
    overridden.set(formatPath(path), variable)
    result = setIn(result, path, isNumber && /^\d{1,15}$/.test(value) ? Number(value) : value)
  }
  return { data: result, overridden }
}

/** A copy along the path; what is no object on the way stays, for the checks to complain of. */
function setIn(data: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return value
  if (data !== undefined && data !== null && (typeof data !== 'object' || Array.isArray(data))) return data
  const object: Readonly<Record<string, unknown>> = { ...data }
  return { ...object, [key]: setIn(object[key], rest, value) }
}
