// One connection's two sockets: reports what happens to them to the state machine and performs what it answers.
//
//   downstream 'data' ──▶ before `relay`: a step of the machine ──▶ effects
//                    └──▶ after it: upstream.write, and downstream rests while upstream's buffer is full
//
// The sockets' listeners are shared functions that find their connection through a symbol on the socket: an idle
// connection costs no closures.

import { connect, isIP, type LookupFunction, type Socket } from 'node:net'
import type { Endpoint } from '../../core/balance/endpoint.ts'
import type { ConnectionRecord } from '../../core/connection-record.ts'
import type { Connection } from '../../core/connection.ts'
import type { ConnectionEffect, ConnectionEvent, DownstreamEnd, LostHow } from '../../core/connection-events.ts'
import { dialFailureOf } from '../../core/dial-failure.ts'
import type { Candidate, LiveConnection } from '../../core/live/live-connection.ts'
import type { LiveItem } from '../../core/live/live-items.ts'
import type { HandedOver } from '../driver.ts'
import type { PeerWatch } from './peer-watch.ts'
import type { SocketCloser } from './socket-closer.ts'

/** The longest that a timer of node can wait; later deadlines are reached in steps. */
const timerMsMax = 2 ** 31 - 1

/** After this much silence the system is taken to have sent what it was given. */
const burstPauseMs = 1_000

/** What a connection needs of its driver. */
export interface ConnectionHost {
  readonly closer: SocketCloser
  readonly peerWatch: PeerWatch
  readonly totals: RelayTotals
  readonly lookup: LookupFunction
  nowMs(): number
  /** Its ClientHello is whole, or it has ended without. */
  routed(connection: RelayedConnection): void
  /** The machine has said `end`: exactly once. */
  ended(connection: RelayedConnection): void
  /** The socket is not this connection's any more: it has no listener and does not flow. */
  handOver(connection: HandedOver, socket: Socket): void
}

/** Totals of the driver that connections add to themselves. */
export interface RelayTotals {
  bytesFromDownstream: number
  bytesFromUpstream: number
  dials: number
  dialFailures: number
  backpressurePauses: number
}

const owner: unique symbol = Symbol('relayed connection')
type OwnedSocket = Socket & { [owner]?: RelayedConnection | undefined }

export class RelayedConnection implements LiveItem {
  readonly machine: Connection
  bytesFromDownstream = 0
  bytesFromUpstream = 0
  readonly #host: ConnectionHost
  readonly #downstream: Socket
  #upstream: Socket | undefined
  #attempt = 0
  #upstreamConnected = false
  #relaying = false
  #beforeHello = true
  #lastActivityMs: number
  // Bytes written to each side without a pause of `burstPauseMs`: what the system may still hold when a RST is due.
  #burstToUpstreamBytes = 0
  #burstToDownstreamBytes = 0
  #deadlineMs = Infinity
  #timer: NodeJS.Timeout | undefined
  #timerAtMs = Infinity
  /** The deadline is due, and is judged behind the loop's next poll. */
  #judging: NodeJS.Immediate | undefined

  constructor(downstream: Socket, machine: Connection, host: ConnectionHost) {
    this.machine = machine
    this.#host = host
    this.#downstream = downstream
    this.#lastActivityMs = host.nowMs()
    const owned: OwnedSocket = downstream
    owned[owner] = this
    downstream.on('error', onDownstreamError)
  }

  /** Performs the machine's first effects and, unless they ended it, reads. */
  start(effects: readonly ConnectionEffect[]): void {
    this.#perform(effects)
    if (this.machine.ended) return
    this.#downstream.on('data', onDownstreamData).on('end', onDownstreamEnd).on('drain', onDownstreamDrain).on('finish', onDownstreamFinish)
  }

  get id(): string {
    return this.machine.id
  }

  get candidate(): Candidate {
    return this.machine.candidate
  }

  live(slot: number): LiveConnection {
    return { ...this.machine.live(), slot, bytesFromDownstream: this.bytesFromDownstream, bytesFromUpstream: this.bytesFromUpstream }
  }

  close(): boolean {
    this.step({ kind: 'stop', reason: 'closed-by-operator', nowMs: this.#host.nowMs() })
    return true
  }

  step(event: ConnectionEvent): void {
    this.#perform(this.machine.step(event))
  }

  /** Only once it has ended. */
  record(): ConnectionRecord {
    return this.machine.record({ bytesFromDownstream: this.bytesFromDownstream, bytesFromUpstream: this.bytesFromUpstream })
  }

  downstreamData(chunk: Buffer): void {
    this.bytesFromDownstream += chunk.byteLength
    this.#host.totals.bytesFromDownstream += chunk.byteLength
    if (!this.#relaying || this.#upstream === undefined) {
      this.step({ kind: 'downstream-bytes', bytes: chunk, nowMs: this.#host.nowMs() })
      return
    }
    this.#active()
    this.#burstToUpstreamBytes += chunk.byteLength
    if (!this.#upstream.write(chunk)) this.#rest(this.#downstream)
  }

  upstreamData(chunk: Buffer): void {
    this.bytesFromUpstream += chunk.byteLength
    this.#host.totals.bytesFromUpstream += chunk.byteLength
    this.#active()
    this.#burstToDownstreamBytes += chunk.byteLength
    if (!this.#relaying) this.step({ kind: 'upstream-answered', attempt: this.#attempt, nowMs: this.#lastActivityMs })
    if (!this.#downstream.write(chunk) && this.#upstream !== undefined) this.#rest(this.#upstream)
  }

  downstreamEnd(): void {
    this.step({ kind: 'downstream-fin', nowMs: this.#host.nowMs() })
  }

  upstreamEnd(): void {
    this.step({ kind: 'upstream-fin', attempt: this.#attempt, nowMs: this.#host.nowMs() })
  }

  downstreamDrain(): void {
    this.#active()
    this.#upstream?.resume()
  }

  upstreamDrain(): void {
    this.#active()
    if (this.#relaying) this.#downstream.resume()
  }

  downstreamFinish(): void {
    this.step({ kind: 'downstream-finished', nowMs: this.#host.nowMs() })
  }

  upstreamFinish(): void {
    this.step({ kind: 'upstream-finished', attempt: this.#attempt, nowMs: this.#host.nowMs() })
  }

  downstreamError(error: NodeJS.ErrnoException): void {
    const rest = received(this.#downstream)
    if (rest !== null) this.downstreamData(rest)
    this.step({ kind: 'downstream-lost', how: lostHow(error), nowMs: this.#host.nowMs() })
  }

  upstreamLookup(): void {
    this.machine.step({ kind: 'dial-resolved', attempt: this.#attempt })
  }

  upstreamConnect(upstream: Socket): void {
    this.#host.peerWatch.watch(upstream)
    this.#upstreamConnected = true
    this.step({ kind: 'dial-succeeded', attempt: this.#attempt, nowMs: this.#host.nowMs() })
  }

  upstreamError(error: NodeJS.ErrnoException): void {
    const rest = this.#upstream === undefined ? null : received(this.#upstream)
    if (rest !== null) this.upstreamData(rest)
    const nowMs = this.#host.nowMs()
    if (this.#upstreamConnected) {
      this.step({ kind: 'upstream-lost', attempt: this.#attempt, how: lostHow(error), nowMs })
    } else {
      this.#host.totals.dialFailures += 1
      const { code, message } = lastOf(error)
      this.step({ kind: 'dial-failed', attempt: this.#attempt, failure: dialFailureOf(code), detail: message, nowMs })
    }
  }

  #active(): void {
    const nowMs = this.#host.nowMs()
    if (nowMs - this.#lastActivityMs > burstPauseMs) {
      this.#burstToUpstreamBytes = 0
      this.#burstToDownstreamBytes = 0
    }
    this.#lastActivityMs = nowMs
  }

  #rest(reader: Socket): void {
    reader.pause()
    this.#host.totals.backpressurePauses += 1
  }

  #perform(effects: readonly ConnectionEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'deadline': this.#setDeadline(effect.atMs); break
        case 'pause-downstream': this.#downstream.pause(); break
        case 'resume-downstream': this.#downstream.resume(); break
        case 'dial': this.#dial(effect.endpoint, effect.attempt); break
        case 'drop-upstream': this.#dropUpstream(); break
        case 'send-upstream':
          this.#burstToUpstreamBytes += effect.bytes.byteLength
          this.#upstream?.write(effect.bytes)
          break
        case 'relay': this.#beginRelay(); break
        case 'finish-downstream': this.#downstream.end(); break
        case 'finish-upstream': this.#upstream?.end(); break
        case 'end': this.#end(effect.downstream, effect.upstream); break
        default: effect satisfies never
      }
    }
    if (this.#beforeHello && !this.machine.beforeHello) {
      this.#beforeHello = false
      this.#host.routed(this)
    }
  }

  #dial({ address, port }: Endpoint, attempt: number): void {
    this.#host.totals.dials += 1
    this.#attempt = attempt
    this.#upstreamConnected = false
    this.#burstToUpstreamBytes = 0
    const upstream: OwnedSocket = connect({ host: address, port, lookup: this.#host.lookup, allowHalfOpen: true, noDelay: true })
    upstream[owner] = this
    this.#upstream = upstream
    upstream.on('connect', onUpstreamConnect).on('data', onUpstreamData).on('end', onUpstreamEnd)
    if (isIP(address) === 0) {
      this.machine.step({ kind: 'dial-resolving', attempt })
      upstream.on('lookup', onUpstreamLookup)
    }
    upstream.on('drain', onUpstreamDrain).on('finish', onUpstreamFinish).on('error', onUpstreamError)
  }

  #dropUpstream(): void {
    const upstream = this.#upstream
    if (upstream === undefined) return
    this.#upstream = undefined
    disown(upstream)
    this.#host.closer.reset(upstream, 0)
  }

  #beginRelay(): void {
    this.#relaying = true
    if (this.#upstream?.writableNeedDrain === true) this.#rest(this.#downstream)
    else this.#downstream.resume()
  }

  #end(downstream: DownstreamEnd, upstream: 'none' | 'close' | 'reset'): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    clearImmediate(this.#judging)
    this.#judging = undefined
    const { closer } = this.#host
    disown(this.#downstream)
    switch (downstream.how) {
      case 'close': closer.close(this.#downstream); break
      case 'reset': closer.reset(this.#downstream, this.#recentBurst(this.#burstToDownstreamBytes)); break
      case 'send': closer.sendAndClose(this.#downstream, downstream.bytes); break
      case 'hand-over': this.#handOver(downstream.bytes); break
      default: downstream satisfies never
    }
    if (this.#upstream !== undefined) {
      disown(this.#upstream)
      if (upstream === 'close') closer.close(this.#upstream)
      else closer.reset(this.#upstream, this.#recentBurst(this.#burstToUpstreamBytes))
      this.#upstream = undefined
    }
    this.#host.ended(this)
  }

  #handOver(head: Uint8Array): void {
    const socket = this.#downstream
    socket.pause()
    socket.off('data', onDownstreamData).off('end', onDownstreamEnd).off('drain', onDownstreamDrain).off('finish', onDownstreamFinish)
    socket.off('error', onDownstreamError)
    // As a server's own connections are.
    socket.allowHalfOpen = false
    this.#host.handOver({ record: this.record(), head }, socket)
  }

  #recentBurst(bytes: number): number {
    return this.#host.nowMs() - this.#lastActivityMs > burstPauseMs ? 0 : bytes
  }

  /** A later deadline leaves the timer alone: it fires early, sees that it is early, and waits for the rest. */
  #setDeadline(atMs: number): void {
    this.#deadlineMs = atMs
    if (this.#judging !== undefined) return
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return
    clearTimeout(this.#timer)
    this.#startTimer()
  }

  #startTimer(): void {
    const waitMs = Math.min(timerMsMax, Math.max(0, Math.ceil(this.#deadlineMs - this.#host.nowMs())))
    this.#timerAtMs = this.#host.nowMs() + waitMs
    this.#timer = setTimeout(onTimer, waitMs, this)
  }

  /**
   * The loop runs timers before it polls sockets: if it was held up, the bytes that keep this deadline may be there already.
   * An immediate runs behind one poll.
   */
  timerFired(): void {
    this.#timer = undefined
    if (this.#host.nowMs() < this.#deadlineMs) this.#startTimer()
    else this.#judging = setImmediate(onPolled, this)
  }

  polled(): void {
    this.#judging = undefined
    const nowMs = this.#host.nowMs()
    // What was polled may have set another deadline.
    if (nowMs < this.#deadlineMs) this.#startTimer()
    else this.step({ kind: 'deadline', lastActivityMs: this.#lastActivityMs, nowMs })
  }
}

function onTimer(connection: RelayedConnection): void {
  connection.timerFired()
}

function onPolled(connection: RelayedConnection): void {
  connection.polled()
}

function onDownstreamData(this: OwnedSocket, chunk: Buffer): void { this[owner]?.downstreamData(chunk) }
function onDownstreamEnd(this: OwnedSocket): void { this[owner]?.downstreamEnd() }
function onDownstreamDrain(this: OwnedSocket): void { this[owner]?.downstreamDrain() }
function onDownstreamFinish(this: OwnedSocket): void { this[owner]?.downstreamFinish() }
function onDownstreamError(this: OwnedSocket, error: Error): void { this[owner]?.downstreamError(error) }
function onUpstreamConnect(this: OwnedSocket): void { this[owner]?.upstreamConnect(this) }
function onUpstreamData(this: OwnedSocket, chunk: Buffer): void { this[owner]?.upstreamData(chunk) }
function onUpstreamEnd(this: OwnedSocket): void { this[owner]?.upstreamEnd() }
function onUpstreamLookup(this: OwnedSocket): void { this[owner]?.upstreamLookup() }
function onUpstreamDrain(this: OwnedSocket): void { this[owner]?.upstreamDrain() }
function onUpstreamFinish(this: OwnedSocket): void { this[owner]?.upstreamFinish() }
function onUpstreamError(this: OwnedSocket, error: Error): void { this[owner]?.upstreamError(error) }

/** The socket's listeners find no connection any more; the closer replaces them. */
function disown(socket: OwnedSocket): void {
  socket[owner] = undefined
}

/** Of a socket that an error has ended: node reads on behind a pause until its own buffer is full, and would drop that. */
function received(socket: Socket): Buffer | null {
  const bytes: Buffer | null = socket.read()
  return bytes
}

/** Of a name's addresses, which node tries one after the other: together they have no message. */
function lastOf(error: NodeJS.ErrnoException): NodeJS.ErrnoException {
  const last: unknown = error instanceof AggregateError ? error.errors.at(-1) : undefined
  return last instanceof Error ? last : error
}

/** ETIMEDOUT on an open connection is the keepalive's or the retransmission's end; EHOSTUNREACH and ENETUNREACH come with it. */
function lostHow(error: NodeJS.ErrnoException): LostHow {
  return error.code === 'ETIMEDOUT' || error.code === 'EHOSTUNREACH' || error.code === 'ENETUNREACH' ? 'unresponsive' : 'reset'
}
