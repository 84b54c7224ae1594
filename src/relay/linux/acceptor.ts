// A worker's listening sockets: connections are taken from them one at a time, whenever a slice of a turn has room for one
// (`core/limit/setup-slice.ts`), until they are empty, or until there is nothing to take them with. Then accepting pauses, is
// counted and told of, and begins again by itself. Each may throw away what some sources send (source-dropper.ts).
// Those that were taken are handed on together.
//
//   watched ─told of─▶ ready, in turn with others ─empty─▶ watched
//      │                  └─ held back ─▶ not watched for `holdMs`
//      └───────── no descriptor ─▶ none is watched for `pauseMs`

import type { SourceDropRule } from '../../core/limit/limits.ts'
import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import * as libc from './libc.ts'
import type { Clock } from './pending-bytes.ts'
import { SocketAddressCell } from './socket-address.ts'
import { SourceDropper } from './source-dropper.ts'

/** Taken from a listener that leaves, all at once: for half a second nothing is relayed. The system resets the others. */
const acceptsAtLeaveMax = 4_096
/** Descriptors are given back as connections end; until then asking again and again would only burn time. */
const pauseMs = 100
/** Until a listener whose connections are better left in its queue is looked at again. */
const holdMs = 1

export interface AcceptorParts {
  readonly epoll: libc.Epoll
  /** Of the turn. */
  readonly clock: Clock
  readonly cells: RelayCells
  /** Descriptors that were accepted and not handed on yet, each plus one; as many as are handed on together. */
  readonly held: Int32Array
  /** Tokens of listeners are this, plus a small number. */
  readonly firstToken: number
  /** Connections that may be handed on. */
  readonly room: () => number
  /** `peer` is written over later. */
  readonly accepted: (fd: number, listener: AcceptingListener, peer: SocketAddressCell) => void
  /** What those that were handed on ask for, their hellos first: few are without at one time. */
  readonly perform: () => void
  /** Connections are better left in the queue of this descriptor for now. @param taken of any queue, and not handed on yet */
  readonly holdsBack: (fd: number, taken: number) => boolean
  readonly failed: (error: Error, context: string) => void
}

export interface AcceptingListener {
  readonly name: string
  readonly dropper: SourceDropper
}

interface Listening extends AcceptingListener {
  readonly fd: number
  readonly token: number
  isReady: boolean
  isHeld: boolean
  /** It was not emptied in the turn in which it was told of. */
  waits: boolean
}

/** A connection that is held, and what is known of it. */
interface Taken {
  readonly peer: SocketAddressCell
  from: Listening | undefined
}

export class Acceptor {
  readonly #parts: AcceptorParts
  /** As many as there are cells to hold. */
  readonly #taken: readonly Taken[]
  #takenCount = 0
  /** By token, less the first one. */
  readonly #listening: (Listening | undefined)[] = []
  /** Those with connections in their queues, in the order of their turns. */
  #ready: Listening[] = []
  #resumeAtMs = Infinity
  #holdEndsMs = Infinity
  #isToldOfDrops = false

  constructor(parts: AcceptorParts) {
    this.#parts = parts
    this.#taken = Array.from(parts.held, () => ({ peer: new SocketAddressCell(), from: undefined }))
  }

  /**
   * A listener that it has already stays as it is: a worker that is replaced may be told twice.
   * @throws {SystemError}
   */
  add(name: string, fd: number): void {
    if (this.#listening.some((each) => each?.name === name)) return
    let index = this.#listening.indexOf(undefined)
    if (index === -1) index = this.#listening.length
    const dropper = new SourceDropper(fd, { ...this.#parts, failed: (error) => this.#withoutDrops(error, name) })
    const listening = { name, fd, dropper, token: this.#parts.firstToken + index, isReady: false, isHeld: false, waits: false }
    this.#listening[index] = listening
    if (this.#resumeAtMs === Infinity) this.#watch(listening)
  }

  /** What its queue still holds is accepted first, within bounds: those connections are complete, and closing would reset them. */
  remove(name: string): void {
    const index = this.#listening.findIndex((each) => each?.name === name)
    const listening = this.#listening[index]
    if (listening === undefined) return
    if (this.#resumeAtMs === Infinity) {
      for (let accepts = 0; accepts < acceptsAtLeaveMax && this.#acceptOne(listening); accepts++);
      this.#parts.epoll.remove(listening.fd)
    }
    this.settle()
    listening.dropper.close()
    this.#ready = this.#ready.filter((each) => each !== listening)
    this.#listening[index] = undefined
  }

  /** @param ruleOf whom the listener of this name drops from now on */
  follow(ruleOf: (listener: string) => SourceDropRule | undefined): void {
    for (const listening of this.#listening) listening?.dropper.follow(ruleOf(listening.name))
  }

  /** There is somebody in its queue. */
  ready(token: number): void {
    const listening = this.#listening[token - this.#parts.firstToken]
    if (listening === undefined || listening.isReady) return
    listening.isReady = true
    this.#ready.push(listening)
  }

  /** One of each listener in turn: one that is attacked takes nothing from another one. @returns false: there is none */
  acceptNext(): boolean {
    for (let listening = this.#takeReady(); listening !== undefined; listening = this.#takeReady()) {
      listening.isReady = false
      if (this.#parts.holdsBack(listening.fd, this.#takenCount)) {
        this.#hold(listening)
      } else if (this.#acceptOne(listening)) {
        if (listening.waits) this.#count(relayCell.pacedAccepts)
        this.ready(listening.token)
        return true
      } else {
        listening.waits = false
      }
    }
    return false
  }

  /** Hands on all that were taken since the last time, and sees to them. */
  settle(): void {
    const { held, accepted, perform } = this.#parts
    const count = this.#takenCount
    this.#takenCount = 0
    for (let index = 0; index < count; index++) {
      const taken = this.#taken[index]
      const fd = (held[index] ?? 0) - 1
      held[index] = 0
      if (taken?.from !== undefined) accepted(fd, taken.from, taken.peer)
    }
    perform()
  }

  /** Mostly there is one, and taking it from the end is cheaper. */
  #takeReady(): Listening | undefined {
    return this.#ready.length > 1 ? this.#ready.shift() : this.#ready.pop()
  }

  /** Until there is somebody to accept; Infinity while nobody is known of. */
  waitMs(): number {
    if (this.#ready.length > 0) return 0
    let waitMs = Math.max(0, Math.min(this.#resumeAtMs, this.#holdEndsMs) - this.#parts.clock.nowMs)
    for (const listening of this.#listening) if (listening !== undefined) waitMs = Math.min(waitMs, listening.dropper.waitMs)
    return waitMs
  }

  /** Behind the slice. */
  finishTurn(): void {
    for (const listening of this.#ready) listening.waits = true
    for (const listening of this.#listening) listening?.dropper.finishTurn()
    const { nowMs } = this.#parts.clock
    if (nowMs >= this.#resumeAtMs) this.#resume()
    else if (nowMs >= this.#holdEndsMs) this.#endHold()
  }

  #resume(): void {
    this.#resumeAtMs = Infinity
    for (const listening of this.#listening) if (listening !== undefined) this.#watch(listening)
  }

  #hold(listening: Listening): void {
    listening.isHeld = true
    listening.waits = true
    this.#parts.epoll.remove(listening.fd)
    this.#holdEndsMs = Math.min(this.#holdEndsMs, this.#parts.clock.nowMs + holdMs)
  }

  #endHold(): void {
    this.#holdEndsMs = Infinity
    for (const listening of this.#listening) if (listening?.isHeld === true) this.#watch(listening)
  }

  /** Level-triggered: what a slice leaves in a backlog is told of again. */
  #watch(listening: Listening): void {
    listening.isHeld = false
    libc.check(this.#parts.epoll.add(listening.fd, libc.EPOLLIN, listening.token), 'epoll_ctl on a listener')
  }

  /** @returns false: there is none, or nothing to take it with */
  #acceptOne(listening: Listening): boolean {
    const { name, fd, dropper } = listening
    if (this.#takenCount === this.#taken.length) this.settle()
    const taken = this.#taken[this.#takenCount]
    if (taken === undefined || this.#parts.room() <= this.#takenCount) {
      this.#pause(new Error('every slot of this worker is taken'), name)
      return false
    }
    const { peer } = taken
    peer.expect()
    const accepted = libc.accept4(fd, peer.address, peer.lengthAddress, libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC)
    if (accepted !== -1) {
      this.#parts.held[this.#takenCount] = accepted + 1
      this.#takenCount += 1
      taken.from = listening
      return true
    }
    const error = libc.errno()
    if (error === libc.EAGAIN) {
      dropper.emptied()
      return false
    }
    if (error === libc.EMFILE || error === libc.ENFILE || error === libc.ENOBUFS || error === libc.ENOMEM) {
      this.#pause(new libc.SystemError('accept4', error), name)
      return false
    }
    // The others are of the connection that was to be accepted (accept(2), "Error handling"): on to the next one.
    this.#count(relayCell.acceptErrors)
    return true
  }

  #pause(error: Error, listener: string): void {
    this.#count(relayCell.acceptErrors)
    this.#count(relayCell.acceptPauses)
    this.#parts.failed(error, `accepting pauses for ${pauseMs} ms, on ${listener}`)
    this.#resumeAtMs = this.#parts.clock.nowMs + pauseMs
    this.#holdEndsMs = Infinity
    this.#ready = []
    for (const listening of this.#listening) {
      if (listening === undefined) continue
      if (!listening.isHeld) this.#parts.epoll.remove(listening.fd)
      listening.isReady = false
    }
  }

  /** All listeners find the same. */
  #withoutDrops(error: Error, listener: string): void {
    if (!this.#isToldOfDrops) this.#parts.failed(error, `sources over their rate are refused one connection at a time, on ${listener} first`)
    this.#isToldOfDrops = true
  }

  #count(cell: number): void {
    this.#parts.cells[cell] = (this.#parts.cells[cell] ?? 0) + 1
  }
}
