// The answer of a gateway's `/v1/snapshot`: what is running.

export interface LastReload {
  readonly result: 'reloaded' | 'kept'
  /** ISO 8601 */
  readonly at: string
  /** Why the running snapshot was kept. */
  readonly error?: string
}

export interface SnapshotStatus {
  readonly version: number
  /** ISO 8601 */
  readonly publishedAt: string
  readonly ageSeconds: number
  readonly file: string
  readonly listeners: readonly { readonly name: string; readonly address: string }[]
  readonly tenants: number
  readonly hostnames: number
  readonly lastReload?: LastReload
}
