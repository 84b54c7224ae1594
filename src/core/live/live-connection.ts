// Connections that live now, for those who run a gateway: which there are, and ending some. Each thread that has connections has them in slots: one
// keeps its slot as long as it lives, so slots are looked through a few at a time, and whoever lives through all of it is met once.
//
//   main thread ── ScanRequest, from slot 0 ──▶ thread      a step of `slotsPerScan`: relaying goes on in between
//               ◀── Scan: some, and where to go on ──

import type { Endpoint } from '../balance/endpoint.ts'
import { CidrSet } from '../net/cidr.ts'
import type { IpAddress } from '../net/ip-address.ts'
import type { SocketAddress } from '../net/socket-address.ts'

/** Slots that a thread looks through at one time, and connections that it then tells of at the most: over in a millisecond. */
export const slotsPerScan = 1_000
export const foundPerScan = 100

/** connection: of a client, at a listener · stream: of an agent's session · egress: of an API server, to a node */
export const connectionKinds = ['connection', 'stream', 'egress'] as const
export type ConnectionKind = (typeof connectionKinds)[number]

/** half-closed: one side has sent FIN */
export type LivePhase = 'proxy-header' | 'hello' | 'ticket' | 'dialing' | 'awaiting-answer' | 'relaying' | 'half-closed'

/** As `ConnectionRecord`; absent fields are not reached yet. */
export interface LiveConnection extends ConnectionRef {
  readonly kind: ConnectionKind
  readonly phase: LivePhase
  /** Of a connection. */
  readonly listener?: string
  /** Of an API server's: the entry that it came by. */
  readonly egress?: string
  readonly tenant?: string
  readonly serverName?: string
  /** Absent: it came by a Unix socket. */
  readonly client?: SocketAddress
  /** Of an API server's: where to, `host:port`. */
  readonly target?: string
  readonly node?: string
  readonly endpoint?: string
  /** Unix epoch. */
  readonly acceptedAtMs: number
  readonly bytesFromDownstream: number
  readonly bytesFromUpstream: number
}

export interface ConnectionRef {
  readonly id: string
  /** In its thread. */
  readonly slot: number
}

/** All that are given must hold. */
export interface ConnectionQuery {
  readonly id?: string
  readonly kinds?: readonly ConnectionKind[]
  readonly tenant?: string
  /** Without a port: any of the address. */
  readonly endpoint?: { readonly address: string; readonly port?: number }
  /** In CIDR notation. */
  readonly source?: string
}

export interface ScanRequest {
  readonly query: ConnectionQuery
  /** The first slot that is looked at. */
  readonly from: number
  /** Connections that are answered at the most, ≥1; never more than `foundPerScan`. */
  readonly max: number
}

export interface Scan {
  readonly connections: readonly LiveConnection[]
  /** Where to go on; absent: there is no more. */
  readonly next?: number
}

/** A thread's connections, as the main thread asks for them. */
export interface LiveThread {
  /** A thread that dies meanwhile has none. */
  scan(request: ScanRequest): Promise<Scan>
  /**
   * Ends those that live still, with reason `closed-by-operator`.
   * @param refs not many more than `slotsPerScan`
   * @returns how many these were
   */
  close(refs: readonly ConnectionRef[]): Promise<number>
}

/**
 * A step.
 * @param used slots that may have one are 0 to this, this one not included
 * @param at a slot's, if it has one that is asked for
 */
export function scanSlots({ from, max }: ScanRequest, used: number, at: (slot: number) => LiveConnection | undefined): Scan {
  const connections: LiveConnection[] = []
  const end = Math.min(used, from + slotsPerScan)
  const foundMax = Math.min(max, foundPerScan)
  let slot = from
  for (; slot < end && connections.length < foundMax; slot++) {
    const connection = at(slot)
    if (connection !== undefined) connections.push(connection)
  }
  return slot < used ? { connections, next: slot } : { connections }
}

export interface Candidate {
  readonly kind: ConnectionKind
  readonly tenant: string | undefined
  readonly endpoint: Pick<Endpoint, 'address' | 'port'> | undefined
  readonly id: () => string
  /** Its address; undefined: it has none that is known. */
  readonly client: () => IpAddress | undefined
}

export class ConnectionMatcher {
  readonly #query: ConnectionQuery
  readonly #sources: CidrSet | undefined

  /** @throws {InvalidCidrError} */
  constructor(query: ConnectionQuery) {
    this.#query = query
    this.#sources = query.source === undefined ? undefined : CidrSet.of([query.source])
  }

  matches({ kind, tenant, endpoint, id, client }: Candidate): boolean {
    const query = this.#query
    if (query.kinds !== undefined && !query.kinds.includes(kind)) return false
    if (query.tenant !== undefined && tenant !== query.tenant) return false
    if (query.endpoint !== undefined && (endpoint?.address !== query.endpoint.address || endpoint.port !== (query.endpoint.port ?? endpoint.port))) return false
    if (query.id !== undefined && id() !== query.id) return false
    if (this.#sources === undefined) return true
    const address = client()
    return address !== undefined && this.#sources.has(address)
  }
}
