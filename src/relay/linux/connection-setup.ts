// A connection from its accept to the first byte of an answer: `core/connection.ts` decides, and what it answers is
// performed on the two descriptors. When it says `relay` the table's columns take over, and the machine is let go.
//
//   accept ─▶ recv ─▶ machine ─▶ dial: socket, connect ─▶ writable ─▶ machine ─▶ send ─▶ readable ─▶ machine ─▶ relay
//
// Reads, dials and sends wait for `perform`, which does all of a kind before those of the next (core/limit/setup-slice.ts).

import { Buffer } from 'node:buffer'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { ConnectionEffect, DialFailure, DownstreamEnd, StopReason, UpstreamEnd } from '../../core/connection-events.ts'
import type { ConnectionRecord } from '../../core/connection-record.ts'
import type { Connection } from '../../core/connection.ts'
import { dialFailureOf } from '../../core/dial-failure.ts'
import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import type { TimerWheel } from '../../core/timer-wheel.ts'
import type { HandedOver } from '../driver.ts'
import type { BatchRelay } from './batch-relay.ts'
import type { ByteRelay } from './byte-relay.ts'
import { slotState, tokenBit, type ConnectionTable } from './connection-table.ts'
import * as libc from './libc.ts'
import { NumberList } from './number-list.ts'
import type { Clock, PendingBytes } from './pending-bytes.ts'
import { readBytesMax, ReadPlaces, readsTogetherMax } from './read-places.ts'
import type { RelayedConnections } from './relayed-connections.ts'
import { SocketAddressCell } from './socket-address.ts'
import type { SocketCloser } from './socket-closer.ts'
import type { Dial } from './worker-protocol.ts'

/** Among what reads have brought: there was none. No errno is so large. */
const notRead = -(2 ** 31)

export interface SetupParts {
  readonly table: ConnectionTable
  readonly wheel: TimerWheel
  readonly clock: Clock
  readonly cells: RelayCells
  readonly bytes: ByteRelay
  readonly pending: PendingBytes
  readonly batch: BatchRelay
  readonly closer: SocketCloser
  readonly relayed: RelayedConnections
  /** Has the descriptor's events told of. */
  readonly watch: (token: number) => void
  /** Asks for a hostname's address; `resolved` is called later. */
  readonly resolve: (dial: Dial, hostname: string) => void
  /** Its ClientHello is whole, or it has ended without. */
  readonly routed: (slot: number) => void
  /** The slot's downstream descriptor is not the worker's any more. */
  readonly handOver: (slot: number, connection: HandedOver) => void
  readonly ended: (slot: number, record: ConnectionRecord) => void
}

export class ConnectionSetup {
  readonly #parts: SetupParts
  readonly #places: ReadPlaces
  /** Of the reads in hand: where each went, and what it brought: bytes, or an errno below 0. */
  readonly #reading = new Uint8Array(readsTogetherMax)
  readonly #received = new Int32Array(readsTogetherMax)
  /** What a read of an endpoint brings, which is written at once. */
  readonly #answer = libc.allocate(readBytesMax)
  readonly #peer = new SocketAddressCell()
  /** By slot. */
  readonly #machines: (Connection | undefined)[] = []
  /** By slot: it counts among those before their hello. */
  readonly #beforeHello: Uint8Array
  /** Slots whose client is not watched yet. */
  readonly #newcomers = new NumberList()
  /** Slots whose client may have something to read. */
  readonly #reads = new NumberList()
  /** Slots whose endpoint is to be dialled. */
  readonly #dials = new NumberList()
  /** Slots whose handshake may be over already. */
  readonly #greets = new NumberList()
  /** Slots whose upstream side is to be sent something, and what; undefined: that is dropped. */
  readonly #sends = new NumberList()
  readonly #sendBytes: (Uint8Array | undefined)[] = []

  constructor(parts: SetupParts) {
    this.#parts = parts
    this.#places = new ReadPlaces(parts.table.capacity)
    this.#beforeHello = new Uint8Array(parts.table.capacity)
  }

  /** The slot's downstream descriptor has just been accepted. It is read without being told of: the hello is mostly there. */
  begin(slot: number, machine: Connection, { atConnectionLimit }: { readonly atConnectionLimit: boolean }): void {
    const { table } = this.#parts
    this.#machines[slot] = machine
    this.#beforeHello[slot] = 1
    table.state[slot] = slotState.setup
    this.#perform(slot, machine, machine.start({ atConnectionLimit }))
    if (machine.ended) return
    table.set(2 * slot, tokenBit.readable)
    this.#newcomers.push(slot)
    this.#reads.push(slot)
  }

  ready(token: number, { readable, writable, ending }: { readable: boolean; writable: boolean; ending: boolean }): void {
    const { table } = this.#parts
    const slot = token >> 1
    const machine = this.#machines[slot]
    if (machine === undefined) return
    if (readable || ending) table.set(token, ending ? tokenBit.readable | tokenBit.ending : tokenBit.readable)
    if ((token & 1) === 0) {
      this.#reads.push(slot)
      return
    }
    if (table.has(token, tokenBit.connecting)) this.#connected(slot, machine, ending ? libc.getIntOption(table.fdOf(token), libc.SOL_SOCKET, libc.SO_ERROR) : 0)
    else if (writable && this.#parts.pending.waiting(token ^ 1) && this.#parts.pending.writePending(token ^ 1)) this.#reads.push(slot)
    if (table.state[slot] !== slotState.setup || !table.has(token, tokenBit.readable)) return
    // Without an end behind them there are bytes, and nothing takes them away: who relays reads them, with others'.
    if (table.has(token, tokenBit.ending)) this.#readUpstream(slot, machine)
    else this.#answered(slot, machine)
  }

  /** What events, deadlines and newcomers have asked for since the last time. */
  perform(): void {
    while (this.#sends.length > 0 || this.#reads.length > 0 || this.#dials.length > 0 || this.#greets.length > 0) {
      this.#sendAll()
      this.#readAll()
      this.#dialAll()
    }
    if (this.#newcomers.length > 0) this.#watchNewcomers()
  }

  due(slot: number): void {
    const { nowMs } = this.#parts.clock
    this.#step(slot, (machine) => machine.step({ kind: 'deadline', lastActivityMs: nowMs, nowMs }))
  }

  drain(slot: number): void {
    this.#step(slot, (machine) => machine.step({ kind: 'drain', nowMs: this.#parts.clock.nowMs }))
  }

  stop(slot: number, reason: StopReason): void {
    this.#step(slot, (machine) => machine.step({ kind: 'stop', reason, nowMs: this.#parts.clock.nowMs }))
  }

  /** Undefined where the slot is not in set-up. */
  machine(slot: number): Connection | undefined {
    return this.#machines[slot]
  }

  /** The answer to `resolve`. */
  resolved({ slot, connection, attempt }: Dial, answer: { readonly address: string } | { readonly failure: string; readonly isOurs: boolean }): void {
    const { table } = this.#parts
    const machine = this.#machines[slot]
    const endpoint = table.endpoints[slot]
    // The attempt may have timed out, and the slot may be another connection's.
    if (machine === undefined || endpoint === undefined || table.number[slot] !== connection || table.attempts[slot] !== attempt || table.fdOf(2 * slot + 1) !== -1) return
    machine.step({ kind: 'dial-resolved', attempt })
    const failure = 'failure' in answer ? answer.failure : `${answer.address} is no IP address`
    const length = 'address' in answer ? this.#peer.encode({ address: answer.address, port: endpoint.port }) : undefined
    if (length === undefined) this.#dialFailed(slot, machine, 'failure' in answer && answer.isOurs ? 'error' : 'unreachable', failure)
    else this.#connect(slot, machine, length)
  }

  #step(slot: number, step: (machine: Connection) => readonly ConnectionEffect[]): void {
    const machine = this.#machines[slot]
    if (machine !== undefined) this.#perform(slot, machine, step(machine))
  }

  #readAll(): void {
    let done = 0
    // Those that have more to read are added behind.
    while (done < this.#reads.length) {
      // Whether a side is full is known when it has been sent to.
      this.#sendAll()
      const to = Math.min(this.#reads.length, done + readsTogetherMax)
      this.#readTogether(done, to)
      done = to
    }
    this.#reads.clear()
  }

  #readTogether(from: number, to: number): void {
    const { table } = this.#parts
    for (let index = from; index < to; index++) {
      const slot = this.#reads.at(index)
      if (!this.#mayRead(slot)) {
        this.#received[index - from] = notRead
        continue
      }
      const place = this.#places.take()
      const received = libc.recv(table.fdOf(2 * slot), this.#places.addressOf(place), readBytesMax, 0)
      this.#reading[index - from] = place
      this.#received[index - from] = received === -1 ? -libc.errno() : received
      // Who stands here twice is read once, until it is known what that brought.
      table.clear(2 * slot, tokenBit.readable)
    }
    for (let index = from; index < to; index++) {
      const slot = this.#reads.at(index)
      const received = this.#received[index - from] ?? notRead
      if (received === notRead) continue
      const machine = this.#machines[slot]
      const place = this.#reading[index - from] ?? 0
      if (machine === undefined || !this.#read(slot, machine, place, received)) this.#places.giveBack(place)
      if (table.state[slot] === slotState.relaying && table.has(2 * slot, tokenBit.readable)) this.#parts.batch.add(2 * slot)
      else if (this.#mayRead(slot)) this.#reads.push(slot)
    }
  }

  /**
   * After their first read: what comes later has an event of its own, and a hello that was whole needs none before. And behind their
   * endpoints, so that of a client's FIN and its endpoint's answer to SYN, told of together, the answer comes first.
   */
  #watchNewcomers(): void {
    const { table, watch } = this.#parts
    for (let index = 0; index < this.#newcomers.length; index++) {
      const slot = this.#newcomers.at(index)
      if (table.state[slot] !== slotState.free && table.fdOf(2 * slot) !== -1 && !table.has(2 * slot, tokenBit.registered)) watch(2 * slot)
    }
    this.#newcomers.clear()
  }

  /** While the upstream side is full, or the machine has enough, TCP's window holds the client. */
  #mayRead(slot: number): boolean {
    const { table, pending } = this.#parts
    const token = 2 * slot
    return table.state[slot] === slotState.setup && table.has(token, tokenBit.readable) && !table.has(token, tokenBit.paused) && !pending.waiting(token)
  }

  /** @returns whether the slot keeps the place */
  #read(slot: number, machine: Connection, place: number, received: number): boolean {
    const { table, bytes, clock } = this.#parts
    const token = 2 * slot
    if (received === -libc.EAGAIN) return false
    if (received === -libc.EINTR) {
      table.set(token, tokenBit.readable)
      return false
    }
    if (received > 0) {
      bytes.countRead(token, received)
      if (received === readBytesMax || table.has(token, tokenBit.ending)) table.set(token, tokenBit.readable)
      const read = this.#places.read(place, received)
      const keeps = this.#places.keep(slot, place, read)
      this.#perform(slot, machine, machine.step({ kind: 'downstream-bytes', bytes: keeps ? read : Buffer.from(read), nowMs: clock.nowMs }))
      return keeps
    }
    if (received === 0) table.set(token, tokenBit.eof)
    this.#perform(slot, machine, received === 0
      ? machine.step({ kind: 'downstream-fin', nowMs: clock.nowMs })
      : machine.step({ kind: 'downstream-lost', how: libc.isUnresponsive(-received) ? 'unresponsive' : 'reset', nowMs: clock.nowMs }))
    return false
  }

  #answered(slot: number, machine: Connection): void {
    const { table, batch, clock } = this.#parts
    this.#perform(slot, machine, machine.step({ kind: 'upstream-answered', attempt: table.attempts[slot] ?? 0, nowMs: clock.nowMs }))
    if (table.state[slot] !== slotState.relaying) return
    batch.add(2 * slot + 1)
    if (table.has(2 * slot, tokenBit.readable)) batch.add(2 * slot)
  }

  /** An end is behind what there is to read, if anything is. */
  #readUpstream(slot: number, machine: Connection): void {
    const { table, bytes, pending, batch, clock } = this.#parts
    const token = 2 * slot + 1
    const received = libc.recv(table.fdOf(token), this.#answer.address, readBytesMax, 0)
    const attempt = table.attempts[slot] ?? 0
    if (received > 0) {
      bytes.countRead(token, received)
      this.#perform(slot, machine, machine.step({ kind: 'upstream-answered', attempt, nowMs: clock.nowMs }))
      if (table.state[slot] !== slotState.relaying) return
      pending.write(token, this.#answer.bytes.subarray(0, received), this.#answer.address)
      batch.add(token)
      if (table.has(2 * slot, tokenBit.readable)) batch.add(2 * slot)
      return
    }
    const error = received === 0 ? 0 : libc.errno()
    if (error === libc.EAGAIN || error === libc.EINTR) {
      if (error === libc.EAGAIN) table.clear(token, tokenBit.readable)
      return
    }
    table.clear(token, tokenBit.readable)
    this.#perform(slot, machine, received === 0
      ? machine.step({ kind: 'upstream-fin', attempt, nowMs: clock.nowMs })
      : machine.step({ kind: 'upstream-lost', attempt, how: libc.isUnresponsive(error) ? 'unresponsive' : 'reset', nowMs: clock.nowMs }))
  }

  #perform(slot: number, machine: Connection, effects: readonly ConnectionEffect[]): void {
    const { table, wheel } = this.#parts
    for (const effect of effects) {
      switch (effect.kind) {
        case 'deadline':
          // A relayed connection's is derived from its columns.
          if (table.state[slot] === slotState.setup) wheel.set(slot, effect.atMs)
          break
        case 'pause-downstream': table.set(2 * slot, tokenBit.paused); break
        case 'resume-downstream':
          table.clear(2 * slot, tokenBit.paused)
          break
        case 'dial': this.#dial(slot, effect.endpoint, effect.attempt); break
        case 'drop-upstream': this.#dropUpstream(slot); break
        case 'send-upstream':
          this.#sendBytes[this.#sends.length] = effect.bytes
          this.#sends.push(slot)
          break
        case 'relay': this.#relay(slot, machine); break
        case 'finish-downstream': this.#parts.relayed.finish(slot, 'upstream'); break
        case 'finish-upstream': this.#finishUpstream(slot); break
        case 'end': this.#end(slot, machine, effect.downstream, effect.upstream); break
        default: effect satisfies never
      }
    }
    if (this.#beforeHello[slot] === 1 && !machine.beforeHello) {
      this.#beforeHello[slot] = 0
      if (machine.node !== undefined) table.nodes.set(slot, machine.node)
      this.#parts.routed(slot)
    }
  }

  #dial(slot: number, endpoint: Endpoint, attempt: number): void {
    const { table, cells } = this.#parts
    cells[relayCell.dials] = (cells[relayCell.dials] ?? 0) + 1
    table.attempts[slot] = attempt
    table.endpoints[slot] = endpoint
    this.#dials.push(slot)
  }

  // A slot that is released meanwhile is nobody else's before all of this has been done.

  #sendAll(): void {
    for (let index = 0; index < this.#sends.length; index++) {
      const slot = this.#sends.at(index)
      const bytes = this.#sendBytes[index]
      this.#sendBytes[index] = undefined
      if (bytes !== undefined && this.#machines[slot] !== undefined) this.#parts.pending.write(2 * slot, bytes, this.#places.addressIfKept(slot, bytes))
    }
    this.#sends.clear()
  }

  #dialAll(): void {
    this.#startDials()
    this.#greetAll()
  }

  #startDials(): void {
    const { table, resolve } = this.#parts
    // One that fails at once may have its next attempt added behind.
    for (let index = 0; index < this.#dials.length; index++) {
      const slot = this.#dials.at(index)
      const machine = this.#machines[slot]
      const endpoint = table.endpoints[slot]
      if (machine === undefined || endpoint === undefined || table.fdOf(2 * slot + 1) !== -1) continue
      const length = this.#peer.encode(endpoint)
      if (length !== undefined) {
        this.#connect(slot, machine, length)
        continue
      }
      const attempt = table.attempts[slot] ?? 0
      machine.step({ kind: 'dial-resolving', attempt })
      resolve({ slot, connection: table.number[slot] ?? 0, attempt }, endpoint.address)
    }
    this.#dials.clear()
  }

  /**
   * On the loopback interface a handshake is over when connect returns, though it says EINPROGRESS; an event would tell a turn later.
   * Sending nothing says EAGAIN where it is not over after all, and takes the socket's error where it has failed.
   */
  #greetAll(): void {
    const { table, watch } = this.#parts
    for (let index = 0; index < this.#greets.length; index++) {
      const slot = this.#greets.at(index)
      const token = 2 * slot + 1
      const machine = this.#machines[slot]
      if (machine === undefined || !table.has(token, tokenBit.connecting)) continue
      watch(token)
      const error = libc.send(table.fdOf(token), this.#answer.address, 0, libc.MSG_NOSIGNAL) === 0 ? 0 : libc.errno()
      if (error !== libc.EAGAIN) this.#connected(slot, machine, error)
    }
    this.#greets.clear()
  }

  /** To the address in `#peer`. */
  #connect(slot: number, machine: Connection, length: number): void {
    const { table, watch } = this.#parts
    const token = 2 * slot + 1
    const family = length === libc.sockaddrInBytes ? libc.AF_INET : libc.AF_INET6
    const fd = libc.socket(family, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0)
    if (fd === -1) {
      this.#dialFailedWith(slot, machine, libc.errno(), 'socket')
      return
    }
    libc.setIntOption(fd, libc.IPPROTO_TCP, libc.TCP_NODELAY, 1)
    // The handshake's last ACK goes with the hello (tcp_rcv_synsent_state_process in net/ipv4/tcp_input.c): a packet less, and an API server is woken once.
    if (machine.hasFirstBytes) libc.setIntOption(fd, libc.IPPROTO_TCP, libc.TCP_QUICKACK, 0)
    table.setFd(token, fd)
    if (libc.connect(fd, this.#peer.address, length) === -1 && libc.errno() !== libc.EINPROGRESS) {
      const error = libc.errno()
      this.#dropUpstream(slot)
      this.#dialFailedWith(slot, machine, error, `connect ${table.endpoints[slot]?.name ?? ''}`)
      return
    }
    table.set(token, tokenBit.connecting)
    if (this.#peer.isLoopback) this.#greets.push(slot)
    else watch(token)
  }

  /** @param error 0: it takes bytes */
  #connected(slot: number, machine: Connection, error: number): void {
    const { table, clock } = this.#parts
    table.clear(2 * slot + 1, tokenBit.connecting)
    if (error !== 0) {
      const name = table.endpoints[slot]?.name ?? ''
      this.#dropUpstream(slot)
      this.#dialFailedWith(slot, machine, error, `connect ${name}`)
      return
    }
    this.#perform(slot, machine, machine.step({ kind: 'dial-succeeded', attempt: table.attempts[slot] ?? 0, nowMs: clock.nowMs }))
    if (table.has(2 * slot, tokenBit.readable)) this.#reads.push(slot)
  }

  #dialFailedWith(slot: number, machine: Connection, error: number, what: string): void {
    const code = libc.errnoName(error)
    this.#dialFailed(slot, machine, dialFailureOf(code), `${what}: ${code}`)
  }

  #dialFailed(slot: number, machine: Connection, failure: DialFailure, detail: string): void {
    const { table, cells, clock } = this.#parts
    cells[relayCell.dialFailures] = (cells[relayCell.dialFailures] ?? 0) + 1
    this.#perform(slot, machine, machine.step({ kind: 'dial-failed', attempt: table.attempts[slot] ?? 0, failure, detail, nowMs: clock.nowMs }))
  }

  /** RST, and nothing is left of this attempt. */
  #dropUpstream(slot: number): void {
    const { table, pending, closer } = this.#parts
    const token = 2 * slot + 1
    for (let index = 0; index < this.#sends.length; index++) if (this.#sends.at(index) === slot) this.#sendBytes[index] = undefined
    pending.discard(2 * slot)
    closer.abort(token)
    table.bits[token] = 0
    table.readBytes[token] = 0
  }

  #relay(slot: number, machine: Connection): void {
    const { table, relayed } = this.#parts
    // What it was sent before goes first, and is its machine's still.
    this.#sendAll()
    this.#machines[slot] = undefined
    this.#places.release(slot)
    table.clear(2 * slot, tokenBit.paused)
    relayed.begin(slot, machine.relayedFacts())
  }

  /** FIN came before the answer: it is owed behind the bytes before it. */
  #finishUpstream(slot: number): void {
    const { pending, relayed } = this.#parts
    if (!pending.waiting(2 * slot)) relayed.finish(slot, 'downstream')
  }

  #end(slot: number, machine: Connection, downstream: DownstreamEnd, upstream: UpstreamEnd): void {
    const { table, pending, closer, ended, handOver } = this.#parts
    this.#machines[slot] = undefined
    const record = machine.record({ bytesFromDownstream: table.readBytes[2 * slot] ?? 0, bytesFromUpstream: table.readBytes[2 * slot + 1] ?? 0 })
    ended(slot, record)
    if (upstream === 'close') closer.close(2 * slot + 1)
    else closer.abort(2 * slot + 1)
    switch (downstream.how) {
      case 'close': closer.close(2 * slot); break
      case 'reset': closer.abort(2 * slot); break
      case 'send':
        pending.write(2 * slot + 1, downstream.bytes)
        closer.linger(2 * slot)
        break
      case 'hand-over': handOver(slot, { record, head: downstream.bytes }); break
      default: downstream satisfies never
    }
    this.#places.release(slot)
    closer.settle(slot)
  }
}
