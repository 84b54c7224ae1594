// A worker's listening sockets: connections are taken from them until they are empty, or as fast as `core/limit/accept-pace.ts`
// allows in a storm, or until there is nothing to take them with. Then accepting pauses, is counted and told of, and begins again
// by itself.
//
//   watched ─two full turns, or held back─▶ in a storm: not watched, a slice now and then ─empty─▶ watched
//      └───────────────── no descriptor ────────────────┴──▶ none is watched for `pauseMs`

import { AcceptPace, acceptsPerTurnMax, refusedCost } from '../../core/limit/accept-pace.ts'
import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import * as libc from './libc.ts'
import type { Clock } from './pending-bytes.ts'
import { SocketAddressCell } from './socket-address.ts'

/** Taken from a listener that leaves, all at once: for half a second nothing is relayed. The system resets the others. */
const acceptsAtLeaveMax = 4_096
/** Descriptors are given back as connections end; until then asking again and again would only burn time. */
const pauseMs = 100

export interface AcceptorParts {
  readonly epoll: libc.Epoll
  /** Of the turn. */
  readonly clock: Clock
  /** Within a turn. */
  readonly nowMs: () => number
  readonly cells: RelayCells
  /** Tokens of listeners are this, plus a small number. */
  readonly firstToken: number
  /** A slot for one more connection. */
  readonly hasRoom: () => boolean
  /**
   * `peer` is written over by the next one.
   * @returns false: it was refused at once
   */
  readonly accepted: (fd: number, listener: string, peer: SocketAddressCell) => boolean
  /** Connections are better left in the queue of this descriptor for now. */
  readonly holdsBack: (fd: number) => boolean
  readonly failed: (error: Error, context: string) => void
}

interface Listening {
  readonly name: string
  readonly fd: number
  /** The last turn that took all it may; turns have numbers. */
  fullTurn: number
  inStorm: boolean
}

export class Acceptor {
  readonly #parts: AcceptorParts
  readonly #peer = new SocketAddressCell()
  /** By token, less the first one. */
  readonly #listening: (Listening | undefined)[] = []
  #resumeAtMs = Infinity
  #turn = 0
  /** While a listener is in a storm. */
  #pace: AcceptPace | undefined
  #storms = 0
  /** The listener that has the first go in the next slice. */
  #first = 0

  constructor(parts: AcceptorParts) {
    this.#parts = parts
  }

  /**
   * A listener that it has already stays as it is: a worker that is replaced may be told twice.
   * @throws {SystemError}
   */
  add(name: string, fd: number): void {
    if (this.#listening.some((each) => each?.name === name)) return
    let index = this.#listening.indexOf(undefined)
    if (index === -1) index = this.#listening.length
    this.#listening[index] = { name, fd, fullTurn: Number.NEGATIVE_INFINITY, inStorm: false }
    if (this.#resumeAtMs === Infinity) this.#watch(index, fd)
  }

  /** What its queue still holds is accepted first, within bounds: those connections are complete, and closing would reset them. */
  remove(name: string): void {
    const index = this.#listening.findIndex((each) => each?.name === name)
    const listening = this.#listening[index]
    if (listening === undefined) return
    if (this.#resumeAtMs === Infinity) {
      for (let accepts = 0; accepts < acceptsAtLeaveMax && this.#acceptOne(listening) > 0; accepts++);
      this.#parts.epoll.remove(listening.fd)
    }
    if (listening.inStorm) this.#calm(listening)
    this.#listening[index] = undefined
  }

  /** While it is calm. */
  ready(token: number): void {
    const listening = this.#listening[token - this.#parts.firstToken]
    if (listening === undefined) return
    if (this.#parts.holdsBack(listening.fd)) {
      this.#beginStorm(listening)
      return
    }
    for (let accepts = 0; accepts < acceptsPerTurnMax;) {
      const cost = this.#acceptOne(listening)
      if (cost === 0) return
      accepts += cost
    }
    if (listening.fullTurn === this.#turn - 1) this.#beginStorm(listening)
    listening.fullTurn = this.#turn
  }

  /** Until accepting goes on; Infinity while all listeners are watched. */
  waitMs(): number {
    if (this.#resumeAtMs !== Infinity) return Math.max(0, this.#resumeAtMs - this.#parts.clock.nowMs)
    return this.#pace === undefined ? Infinity : Math.max(0, this.#pace.sliceAtMs - this.#parts.nowMs())
  }

  /** Once the events of a wait are handed out. */
  finishTurn(): void {
    this.#turn += 1
    if (this.#pace !== undefined) this.#slice(this.#pace)
    else if (this.#parts.clock.nowMs >= this.#resumeAtMs) this.#resume()
  }

  #resume(): void {
    this.#resumeAtMs = Infinity
    for (const [index, listening] of this.#listening.entries()) {
      if (listening !== undefined) this.#watch(index, listening.fd)
    }
  }

  #beginStorm(listening: Listening): void {
    listening.inStorm = true
    this.#parts.epoll.remove(listening.fd)
    this.#pace ??= new AcceptPace(this.#parts.nowMs())
    this.#storms += 1
  }

  #calm(listening: Listening): void {
    listening.inStorm = false
    this.#storms -= 1
    if (this.#storms === 0) this.#pace = undefined
  }

  #slice(pace: AcceptPace): void {
    const { nowMs, cells, holdsBack } = this.#parts
    let budget = pace.budget(nowMs())
    // One of each in turn: a listener that is attacked takes nothing from another one.
    for (let index = this.#first % this.#listening.length; this.#storms > 0 && budget >= 1; index = (index + 1) % this.#listening.length) {
      this.#first = index + 1
      const listening = this.#listening[index]
      if (listening?.inStorm !== true) continue
      if (holdsBack(listening.fd)) {
        pace.rest()
        return
      }
      const cost = this.#acceptOne(listening)
      budget -= cost
      pace.spend(cost)
      if (cost > 0) {
        cells[relayCell.pacedAccepts] = (cells[relayCell.pacedAccepts] ?? 0) + 1
      } else if (listening.inStorm) {
        this.#calm(listening)
        this.#watch(index, listening.fd)
      }
    }
  }

  /** Level-triggered: what one turn leaves in a backlog is told of again. */
  #watch(index: number, fd: number): void {
    libc.check(this.#parts.epoll.add(fd, libc.EPOLLIN, this.#parts.firstToken + index), 'epoll_ctl on a listener')
  }

  /** @returns what it cost, in connections; 0: there is none, or nothing to take it with */
  #acceptOne({ name, fd }: Listening): number {
    if (!this.#parts.hasRoom()) {
      this.#pause(new Error('every slot of this worker is taken'), name)
      return 0
    }
    this.#peer.expect()
    const accepted = libc.accept4(fd, this.#peer.address, this.#peer.lengthAddress, libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC)
    if (accepted !== -1) {
      return this.#parts.accepted(accepted, name, this.#peer) ? 1 : refusedCost
    }
    const error = libc.errno()
    if (error === libc.EAGAIN) return 0
    if (error === libc.EMFILE || error === libc.ENFILE || error === libc.ENOBUFS || error === libc.ENOMEM) {
      this.#pause(new libc.SystemError('accept4', error), name)
      return 0
    }
    // The others are of the connection that was to be accepted (accept(2), "Error handling"): on to the next one.
    this.#count(relayCell.acceptErrors)
    return refusedCost
  }

  /** Nobody is in a storm afterwards: it would begin again. */
  #pause(error: Error, listener: string): void {
    this.#count(relayCell.acceptErrors)
    // Another listener's event of the same wait.
    if (this.#resumeAtMs !== Infinity) return
    this.#count(relayCell.acceptPauses)
    this.#parts.failed(error, `accepting pauses for ${pauseMs} ms, on ${listener}`)
    this.#resumeAtMs = this.#parts.clock.nowMs + pauseMs
    for (const listening of this.#listening) {
      if (listening === undefined) continue
      if (listening.inStorm) this.#calm(listening)
      else this.#parts.epoll.remove(listening.fd)
    }
  }

  #count(cell: number): void {
    this.#parts.cells[cell] = (this.#parts.cells[cell] ?? 0) + 1
  }
}
