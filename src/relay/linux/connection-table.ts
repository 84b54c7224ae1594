// A worker's connections as columns of typed arrays: a slot for each connection, two tokens for each slot.
//
//   slot 7 ─┬─ token 14: downstream, the client's descriptor      token ^ 1 is the other side,
//           └─ token 15: upstream, the API server's               token >> 1 the slot
//
// A token's column tells of what is read from its descriptor and of what waits to be written to the other side. The
// descriptors and states are in shared memory, so that the main thread can close what a worker that died has left. Memory
// is touched slot by slot: what no connection has used takes none.

import type { Endpoint } from '../../core/balance/endpoint.ts'
import { listenerRowsMax } from '../../core/listener-table.ts'
import { formatIpAddressAt, ipAddressOf, type IpAddress } from '../../core/net/ip-address.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { ProxyTlvs } from '../../core/proxy-protocol/header.ts'
import type { TenantPolicy } from '../../core/snapshot.ts'
import type { WorkerDescriptors } from './descriptors.ts'
import type { SocketAddressCell } from './socket-address.ts'

/** What a slot is in; zeroed memory is a table of free slots. */
export const slotState = {
  free: 0,
  /** `core/connection.ts` decides, from the hello to the first byte of an answer. */
  setup: 1,
  /** Bytes go straight across; `core/relayed.ts` decides. */
  relaying: 2,
  /** It has ended and is recorded; a descriptor is still open for bytes that its peer is owed. */
  closing: 3,
} as const

/** Bits of a token. */
export const tokenBit = {
  /** More may be there to read: only EAGAIN or a short read tells that there is not. */
  readable: 1,
  /** The peer has sent FIN or RST, or the system gave up: read on to the end, whatever a short read says. */
  ending: 2,
  /** The end has been read: FIN for the other side is owed or sent. */
  eof: 4,
  /** Sending here has failed: what comes for it is thrown away until its own end has been read. */
  broken: 8,
  /** Why it is broken: the system gave up on a peer that was silent, rather than RST. */
  unresponsive: 16,
  /** The machine wants nothing more from here for now. */
  paused: 32,
  /** A non-blocking connect is under way. */
  connecting: 64,
  /** In the list of those that used up their turn. */
  queued: 128,
  /** What is read here goes through a pipe. */
  spliced: 256,
  /** In the epoll instance. */
  registered: 512,
  /** Its descriptor waits to be closed with RST, once its peer has what it is owed. */
  resetting: 1024,
  /** Its peer was sent an alert and may take its time to read it. */
  lingering: 2048,
  /** In the list of those that are pumped together. */
  gathered: 4096,
} as const

const addressBytes = 16
const sharedRow = listenerRowsMax - 1

export class ConnectionTable {
  readonly capacity: number
  /** Descriptors plus one, by token. */
  readonly fds: WorkerDescriptors['connections']

  // By token.
  /** A set of `tokenBit`. */
  readonly bits: Uint16Array
  /** Of epoll: what was told of its descriptor while it waits in `WaitingEvents`. */
  readonly events: Uint16Array
  /** Read from it. */
  readonly readBytes: Float64Array
  /** What was read from it and not written yet: a block's number plus one, a pipe's where it is `spliced`, or 0. */
  readonly pending: Int32Array
  /** Reads in a row that filled the buffer, up to a limit. */
  readonly fullReads: Uint8Array

  // By slot.
  readonly state: Uint8Array
  /** Attempts so far: whose socket is the upstream one. */
  readonly attempts: Uint8Array
  /** State of `core/relayed.ts`. */
  readonly relayBits: Uint8Array
  readonly acceptedMs: Float64Array
  /** The last byte of the relay; of a closing slot, when it is closed whatever its peers are owed. */
  readonly activityMs: Float64Array
  /** Makes its id, with the worker's prefix. */
  readonly number: Float64Array
  readonly listenerRow: Uint8Array
  /** Of the admission. */
  readonly hold: Int32Array

  // By slot, for the record of a relayed connection.
  readonly snapshotVersion: Uint32Array
  readonly helloMs: Float32Array
  readonly connectMs: Float32Array
  readonly encryptedClientHello: Uint8Array
  readonly tenants: (TenantPolicy | undefined)[] = []
  readonly endpoints: (Endpoint | undefined)[] = []
  readonly serverNames: (string | undefined)[] = []
  /** Where a PROXY header named another address than the peer's. */
  readonly clients = new Map<number, SocketAddress>()
  /** What else it told. */
  readonly proxied = new Map<number, ProxyTlvs>()
  /** By row of the listener, as it was last met; and by slot where the row is the one that many share. */
  readonly #listenerNames: string[] = []
  readonly #otherListeners = new Map<number, string>()
  /** Key ids of the nodes whose agents' tickets brought them. */
  readonly nodes = new Map<number, string>()
  readonly #downstreamAddress: Uint8Array
  readonly #downstreamPort: Uint16Array

  #used = 0
  readonly #free: number[] = []
  /** Events of the same wait may still name them. */
  readonly #freed: number[] = []

  /** @param descriptors two for each slot, zeroed */
  constructor(descriptors: WorkerDescriptors['connections']) {
    const tokens = descriptors.length
    const capacity = tokens / 2
    this.capacity = capacity
    this.fds = descriptors
    this.bits = new Uint16Array(tokens)
    this.events = new Uint16Array(tokens)
    this.readBytes = new Float64Array(tokens)
    this.pending = new Int32Array(tokens)
    this.fullReads = new Uint8Array(tokens)
    this.state = new Uint8Array(capacity)
    this.attempts = new Uint8Array(capacity)
    this.relayBits = new Uint8Array(capacity)
    this.acceptedMs = new Float64Array(capacity)
    this.activityMs = new Float64Array(capacity)
    this.number = new Float64Array(capacity)
    this.listenerRow = new Uint8Array(capacity)
    this.hold = new Int32Array(capacity)
    this.snapshotVersion = new Uint32Array(capacity)
    this.helloMs = new Float32Array(capacity)
    this.connectMs = new Float32Array(capacity)
    this.encryptedClientHello = new Uint8Array(capacity)
    this.#downstreamAddress = new Uint8Array(capacity * addressBytes)
    this.#downstreamPort = new Uint16Array(capacity)
  }

  /** Slots that are not free. */
  get size(): number {
    return this.#used - this.#free.length
  }

  /** Slots that have ever been used are 0 to this, this one not included. */
  get used(): number {
    return this.#used
  }

  /** A free slot, or -1. */
  take(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#used === this.capacity) return -1
    const slot = this.#used++
    // No `push`: the first one to an empty array would throw away what V8 has compiled `accept` to.
    this.tenants[slot] = undefined
    this.endpoints[slot] = undefined
    this.serverNames[slot] = undefined
    return slot
  }

  /** Both descriptors are closed. The slot is free after `recycle`. */
  release(slot: number): void {
    this.state[slot] = slotState.free
    this.tenants[slot] = undefined
    this.endpoints[slot] = undefined
    this.serverNames[slot] = undefined
    if (this.clients.size > 0) this.clients.delete(slot)
    if (this.proxied.size > 0) this.proxied.delete(slot)
    if (this.nodes.size > 0) this.nodes.delete(slot)
    if (this.#otherListeners.size > 0) this.#otherListeners.delete(slot)
    this.relayBits[slot] = 0
    this.attempts[slot] = 0
    for (let token = 2 * slot; token <= 2 * slot + 1; token++) {
      this.bits[token] = 0
      this.readBytes[token] = 0
      this.fullReads[token] = 0
    }
    this.#freed.push(slot)
  }

  /** Once all events of a wait have been handled. */
  recycle(): void {
    while (this.#freed.length > 0) this.#free.push(this.#freed.pop() ?? 0)
  }

  /** -1: none */
  fdOf(token: number): number {
    return (this.fds[token] ?? 0) - 1
  }

  /** What was told of another descriptor before is nothing of this one's. */
  setFd(token: number, fd: number): void {
    this.fds[token] = fd + 1
    this.events[token] = 0
  }

  has(token: number, bit: number): boolean {
    return ((this.bits[token] ?? 0) & bit) !== 0
  }

  set(token: number, bit: number): void {
    this.bits[token] = (this.bits[token] ?? 0) | bit
  }

  clear(token: number, bit: number): void {
    this.bits[token] = (this.bits[token] ?? 0) & ~bit
  }

  /** @param row of `ListenerTable` */
  setListener(slot: number, name: string, row: number): void {
    this.listenerRow[slot] = row
    if (row === sharedRow) this.#otherListeners.set(slot, name)
    else this.#listenerNames[row] = name
  }

  listenerName(slot: number): string {
    const row = this.listenerRow[slot] ?? sharedRow
    return (row === sharedRow ? this.#otherListeners.get(slot) : this.#listenerNames[row]) ?? ''
  }

  setDownstreamAddress(slot: number, peer: SocketAddressCell): void {
    peer.copyTo(this.#downstreamAddress, slot * addressBytes)
    this.#downstreamPort[slot] = peer.port
  }

  downstreamAddress(slot: number): SocketAddress {
    return { address: formatIpAddressAt(this.#downstreamAddress, slot * addressBytes), port: this.#downstreamPort[slot] ?? 0 }
  }

  downstreamIp(slot: number): IpAddress {
    const at = slot * addressBytes
    return ipAddressOf(this.#downstreamAddress.subarray(at, at + addressBytes))
  }
}
