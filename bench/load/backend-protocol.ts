// What the bench and its backend processes say to each other, over the IPC channel of node:child_process.

/** Ports of one set of servers. */
export interface BackendPorts {
  readonly echo: number
  readonly source: number
  readonly sink: number
  /** Any of them, as the first byte of what a client sends asks: see greeting.ts. */
  readonly byGreeting: number
}

/** What a server does with a connection. */
export type BackendRole = Exclude<keyof BackendPorts, 'byGreeting'>

/** Sums since the process began. */
export interface BackendCounters {
  /** When they were read, by the process's own clock. */
  readonly atMs: number
  readonly cpuMs: number
  readonly connections: number
  readonly open: number
  readonly receivedBytes: number
  /** Handed to the system; not all of it need have arrived. */
  readonly sentBytes: number
}

export type BackendRequest =
  /** One set of servers for each element; ports of 0 are chosen by the system. */
  | { readonly kind: 'listen', readonly address: string, readonly sets: readonly BackendPorts[] }
  | { readonly kind: 'counters' }

export type BackendReply =
  | { readonly kind: 'listening', readonly sets: readonly BackendPorts[] }
  | { readonly kind: 'counters', readonly counters: BackendCounters }
