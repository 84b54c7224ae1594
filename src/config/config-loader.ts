// Loads one file again and again: what has not changed since the last time is not read anew.

import { ShardedMap } from '../core/sharded-map.ts'
import type { TenantSpec } from '../core/snapshot.ts'
import type { Settings } from './config.ts'
import { parseWhole } from './load.ts'
import type { LoadOptions } from './parse-text.ts'
import { loadPieces, type Pieces } from './pieces.ts'
import { readConfigBytes } from './read-file.ts'
import { resolve, resolveSettings } from './resolve.ts'
import type { ParsedConfig } from './schema.ts'

/** A configuration that can be compared with another one quickly. */
export interface LoadedConfig {
  readonly settings: Settings
  /** By name. */
  readonly tenants: ShardedMap<TenantSpec>
  /** Of all tenants together. */
  readonly hostnameCount: number
  /** What tenants from elsewhere take from the file. */
  readonly shared: Pick<ParsedConfig, 'defaults' | 'pools'>
}

export class ConfigLoader {
  readonly #options: LoadOptions
  /** Of the last file that could be read in pieces. What a text means does not change, so a wrong file in between does not matter. */
  #pieces: Pieces | undefined

  /** Files are read into one while the other is in use: allocating as much for each load has V8 collect its garbage far more often. */
  #memory: { readonly used?: ArrayBuffer | undefined; readonly spare?: ArrayBuffer | undefined } = {}

  constructor(options: LoadOptions) {
    this.#options = options
  }

  /**
   * The file as it is now.
   * @throws {ConfigError} with every problem, as `loadConfig` does
   */
  load(): LoadedConfig {
    const { used, spare } = this.#memory
    const bytes = readConfigBytes(this.#options.file, spare)
    const before = this.#pieces
    const loaded = this.parse(bytes)
    if (this.#pieces !== before) this.#memory = { used: bytes.buffer, spare: used }
    return loaded
  }

  /**
   * @param bytes of UTF-8, which stay as they are until the next ones are parsed
   * @throws {ConfigError}
   */
  parse(bytes: Buffer<ArrayBuffer>): LoadedConfig {
    const pieces = loadPieces({ bytes, env: this.#options.env, previous: this.#pieces })
    if (pieces === undefined) return loaded(parseWhole({ ...this.#options, text: bytes.toString('utf8') }))
    this.#pieces = pieces
    const { parsed } = pieces.frame
    return { settings: resolveSettings(parsed), tenants: pieces.tenants, hostnameCount: pieces.hostnames.size, shared: parsed }
  }
}

function loaded(parsed: ParsedConfig): LoadedConfig {
  const { tenants, ...settings } = resolve(parsed)
  const byName = new ShardedMap<TenantSpec>().draft()
  for (const tenant of tenants) byName.set(tenant.name, tenant)
  return { settings, tenants: byName.done(), hostnameCount: tenants.reduce((sum, { hostnames }) => sum + hostnames.length, 0), shared: { defaults: parsed.defaults, pools: parsed.pools } }
}
