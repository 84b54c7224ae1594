// The thread that reads the configuration, for as long as the gateway runs: it remembers what it has read, so that a file
// that is read again costs what has changed in it. config-thread.ts is its other end.
//
//   load ──▶ loaded (with the first tenants that have changed, and how many there are) or problems
//   stored: tenants of the store that were written or are gone
//   refresh ──▶ as load, with the file as it was read last
//   tenants, for each further portion of them ──▶ tenants
//   commit: the relay has it; the next change is one of this

import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { changeSince, type ConfigChange } from '../config/change.ts'
import { ConfigError, type ConfigProblem } from '../config/config-error.ts'
import { ConfigLoader, type LoadedConfig } from '../config/config-loader.ts'
import type { Settings } from '../config/config.ts'
import type { LoadOptions } from '../config/parse-text.ts'
import { StoredTenants, type StoredTenantChange } from '../config/stored-tenants.ts'
import type { ShardedMap } from '../core/sharded-map.ts'
import type { TenantSpec } from '../core/snapshot.ts'

export type ConfigRequest =
  | { readonly kind: 'load' }
  | { readonly kind: 'stored'; readonly changes: readonly StoredTenantChange[] }
  | { readonly kind: 'refresh' }
  | { readonly kind: 'tenants'; readonly from: number }
  | { readonly kind: 'commit' }

export type ConfigReply =
  | { readonly kind: 'problems'; readonly problems: readonly ConfigProblem[] }
  | {
      readonly kind: 'loaded'
      readonly settings: Settings
      readonly tenantCount: number
      readonly hostnameCount: number
      /** With the first portion of its tenants; others come by `tenants`. */
      readonly change: ConfigChange
      readonly changedCount: number
      /** Of tenants of the store. */
      readonly refused: readonly ConfigProblem[]
    }
  | { readonly kind: 'tenants'; readonly tenants: readonly TenantSpec[] }

/** Sent at once: taking them in holds the relay up for a few milliseconds. */
const tenantsPerMessage = 2_000
/** Behind the relay, where the two share a core; high enough to come to its end under load. */
const niceness = 5

if (parentPort !== null) serve(parentPort, workerData)

function serve(port: NonNullable<typeof parentPort>, options: LoadOptions): void {
  lowerPriority()
  const loader = new ConfigLoader(options)
  let running: ShardedMap<TenantSpec> | undefined
  const stored = new StoredTenants()
  let file: LoadedConfig | undefined
  let loaded: LoadedConfig | undefined
  let changed: readonly TenantSpec[] = []
  const portion = (from: number): readonly TenantSpec[] => changed.slice(from, from + tenantsPerMessage)
  const load = (isRead: boolean): ConfigReply => {
    try {
      file = isRead || file === undefined ? loader.load() : file
    } catch (error) {
      if (error instanceof ConfigError) return { kind: 'problems', problems: error.problems }
      throw error
    }
    const { config, refused } = stored.mergedWith(file)
    loaded = config
    const change = changeSince(running, loaded)
    changed = change.tenants
    return {
      kind: 'loaded', settings: loaded.settings, tenantCount: loaded.tenants.size, hostnameCount: loaded.hostnameCount, change: { ...change, tenants: portion(0) }, changedCount: changed.length, refused,
    }
  }
  port.on('message', (request: ConfigRequest) => {
    switch (request.kind) {
      case 'load': port.postMessage(load(true)); break
      case 'refresh': port.postMessage(load(false)); break
      case 'stored': stored.change(request.changes); break
      case 'tenants': port.postMessage({ kind: 'tenants', tenants: portion(request.from) } satisfies ConfigReply); break
      case 'commit':
        running = loaded?.tenants
        changed = []
        break
      default: request satisfies never
    }
  })
}

/** Linux has a priority for each thread, and takes a thread's id where others take a process's. */
function lowerPriority(): void {
  if (process.platform !== 'linux') return
  try {
    const [, threadId] = /\/(\d+)$/.exec(readlinkSync('/proc/thread-self')) ?? []
    if (threadId !== undefined) setPriority(Number(threadId), niceness)
  } catch {
    // Without /proc, or where a sandbox forbids it: the system shares out the cores as it does among others.
  }
}
