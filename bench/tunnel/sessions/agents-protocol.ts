// What the bench and its processes of agents say to each other, over the IPC channel of node:child_process.

export interface StartAgents {
  readonly kind: 'start'
  /** wss://localhost:PORT */
  readonly gateway: string
  readonly caPem: string
  /** Of nodes: an agent each, with a key of its own. */
  readonly names: readonly string[]
  /** By node. */
  readonly tokens: readonly string[]
  /** Agents begun in a second. */
  readonly perSecond: number
}

export type AgentsRequest = StartAgents | { readonly kind: 'report' }

/** Since the last one. Times are milliseconds of the epoch, so that those of several processes go together. */
export interface AgentsReport {
  /** Sessions that are up now. */
  readonly up: number
  /** When agents began to connect. */
  readonly attemptsMs: readonly number[]
  /** When their sessions were up. */
  readonly upsMs: readonly number[]
  /** What gateways answered that said no, and how often. */
  readonly refusals: Readonly<Record<string, number>>
  /** Why there was no session, and how often, refusals among them. */
  readonly waits: Readonly<Record<string, number>>
}
