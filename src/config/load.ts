// A gateway's file to a `Config`, or to every problem that it has.

import { claimsOfBroken, claimsOfParsed } from './claims.ts'
import type { Config } from './config.ts'
import { parseText, type LoadOptions, type TextOptions } from './parse-text.ts'
import { readConfigFile } from './read-file.ts'
import { crossProblems, resolve } from './resolve.ts'
import { configSchema, type ParsedConfig } from './schema.ts'

/** @throws {ConfigError} */
export function loadConfig({ file, env }: LoadOptions): Config {
  return parseConfig({ file, env, text: readConfigFile(file) })
}

/**
 * @param options `file` names the file in problems; it is not read
 * @throws {ConfigError}
 */
export function parseConfig(options: TextOptions): Config {
  return resolve(parseWhole(options))
}

/** As `parseConfig`, before it is resolved. */
export function parseWhole(options: TextOptions): ParsedConfig {
  return parseText(options, { schema: configSchema, needed: 'listeners', crossProblems: (parsed, data) => crossProblems(parsed === undefined ? claimsOfBroken(data) : claimsOfParsed(parsed)) })
}
