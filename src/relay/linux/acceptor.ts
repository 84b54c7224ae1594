// A worker's listening sockets: connections are taken from them until they are empty, or until there is nothing to take
// them with. Then accepting pauses, is counted and told of, and begins again by itself.

import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import * as libc from './libc.ts'
import type { Clock } from './pending-bytes.ts'
import { SocketAddressCell } from './socket-address.ts'

/** Connections taken from one listener before others have their turn. */
const acceptsPerTurn = 64
/** Descriptors are given back as connections end; until then asking again and again would only burn time. */
const pauseMs = 100

export interface AcceptorParts {
  readonly epoll: libc.Epoll
  readonly clock: Clock
  readonly cells: RelayCells
  /** Tokens of listeners are this, plus a small number. */
  readonly firstToken: number
  /** A slot for one more connection. */
  readonly hasRoom: () => boolean
  /** `peer` is written over by the next one. */
  readonly accepted: (fd: number, listener: string, peer: SocketAddressCell) => void
  readonly failed: (error: Error, context: string) => void
}

interface Listening {
  readonly name: string
  readonly fd: number
}

export class Acceptor {
  readonly #parts: AcceptorParts
  readonly #peer = new SocketAddressCell()
  /** By token, less the first one. */
  readonly #listening: (Listening | undefined)[] = []
  #resumeAtMs = Infinity

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
    this.#listening[index] = { name, fd }
    if (this.#resumeAtMs === Infinity) this.#watch(index, fd)
  }

  /** What its backlog still holds is accepted first: those connections are complete, and closing would reset them. */
  remove(name: string): void {
    const index = this.#listening.findIndex((each) => each?.name === name)
    const listening = this.#listening[index]
    if (listening === undefined) return
    if (this.#resumeAtMs === Infinity) {
      while (this.#acceptSome(listening));
      this.#parts.epoll.remove(listening.fd)
    }
    this.#listening[index] = undefined
  }

  ready(token: number): void {
    const listening = this.#listening[token - this.#parts.firstToken]
    if (listening !== undefined) this.#acceptSome(listening)
  }

  /** Until accepting begins again; Infinity while it is not paused. */
  waitMs(): number {
    return Math.max(0, this.#resumeAtMs - this.#parts.clock.nowMs)
  }

  resumeIfDue(): void {
    if (this.#parts.clock.nowMs < this.#resumeAtMs) return
    this.#resumeAtMs = Infinity
    for (const [index, listening] of this.#listening.entries()) {
      if (listening !== undefined) this.#watch(index, listening.fd)
    }
  }

  /** Level-triggered: what one turn leaves in a backlog is told of again. */
  #watch(index: number, fd: number): void {
    libc.check(this.#parts.epoll.add(fd, libc.EPOLLIN, this.#parts.firstToken + index), 'epoll_ctl on a listener')
  }

  /** @returns whether there may be more */
  #acceptSome({ name, fd }: Listening): boolean {
    for (let accepts = 0; accepts < acceptsPerTurn; accepts++) {
      if (!this.#parts.hasRoom()) {
        this.#pause(new Error('every slot of this worker is taken'), name)
        return false
      }
      this.#peer.expect()
      const accepted = libc.accept4(fd, this.#peer.address, this.#peer.lengthAddress, libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC)
      if (accepted !== -1) {
        this.#parts.accepted(accepted, name, this.#peer)
        continue
      }
      const error = libc.errno()
      if (error === libc.EAGAIN) return false
      if (error === libc.EMFILE || error === libc.ENFILE || error === libc.ENOBUFS || error === libc.ENOMEM) {
        this.#pause(new libc.SystemError('accept4', error), name)
        return false
      }
      // The others are of the connection that was to be accepted (accept(2), "Error handling"): on to the next one.
      this.#count(relayCell.acceptErrors)
    }
    return true
  }

  #pause(error: Error, listener: string): void {
    this.#count(relayCell.acceptErrors)
    // Another listener's event of the same wait.
    if (this.#resumeAtMs !== Infinity) return
    this.#count(relayCell.acceptPauses)
    this.#parts.failed(error, `accepting pauses for ${pauseMs} ms, on ${listener}`)
    this.#resumeAtMs = this.#parts.clock.nowMs + pauseMs
    for (const listening of this.#listening) {
      if (listening !== undefined) this.#parts.epoll.remove(listening.fd)
    }
  }

  #count(cell: number): void {
    this.#parts.cells[cell] = (this.#parts.cells[cell] ?? 0) + 1
  }
}
