// A thread's sockets, by the relay's own FFI: a loop around epoll_wait that allocates nothing, so that what drives and what
// answers the relays takes as little of the machine as it can. The thread's JavaScript event loop, for messages and timers,
// has a turn in between:
//
//   ┌─▶ beforeWait ─▶ epoll_wait ─▶ ready(token) … ─┐
//   │                                               ├─ for `roundsMs` ─▶ setImmediate ─┐
//   └───────────────────────────────────────────────┴──────────────────────────────────┘

import { allocate, Epoll, type NativeMemory } from '../../src/relay/linux/libc.ts'

/** <sys/socket.h>: recv on TCP discards what it reads instead of copying it (tcp(7)). */
export const MSG_TRUNC = 0x20
/** Of what only ends a wait; handlers are not told. */
export const wakeToken = -1
/** No wait is longer, so a message waits no longer for its answer. */
export const waitMsMax = 5
const roundsMs = 2
const eventsPerWait = 512
const bufferBytes = 256 * 1024

export interface EventHandler {
  /** @returns how long to wait, in whole milliseconds */
  beforeWait(nowMs: number): number
  /** @param events of epoll_ctl(2) */
  ready(token: number, events: number): void
}

export class EventLoop {
  /** What is read goes here, and is gone with the next read. */
  readonly incoming: NativeMemory = allocate(bufferBytes)
  /** What is sent comes from here; whoever has the loop fills it. */
  readonly outgoing: NativeMemory = allocate(bufferBytes)
  readonly #epoll = new Epoll(eventsPerWait)
  #handler: EventHandler | undefined

  /** One handler at a time. */
  start(handler: EventHandler): void {
    if (this.#handler !== undefined) throw new Error('bug: the loop has a handler already')
    this.#handler = handler
    setImmediate(() => this.#turn(handler))
  }

  /** No event comes any more. */
  stop(): void {
    this.#handler = undefined
  }

  /**
   * The end of a descriptor's watch is its close.
   * @returns 0 or -1
   */
  add(fd: number, events: number, token: number): number {
    return this.#epoll.add(fd, events, token)
  }

  /** @returns 0 or -1 */
  change(fd: number, events: number, token: number): number {
    this.#epoll.remove(fd)
    return this.#epoll.add(fd, events, token)
  }

  #turn(handler: EventHandler): void {
    let nowMs = performance.now()
    const endMs = nowMs + roundsMs
    while (this.#handler === handler && nowMs < endMs) {
      const count = this.#epoll.wait(handler.beforeWait(nowMs))
      for (let index = 0; index < count; index += 1) {
        const token = this.#epoll.tokenAt(index)
        if (token !== wakeToken) handler.ready(token, this.#epoll.eventsAt(index))
      }
      nowMs = performance.now()
    }
    if (this.#handler === handler) setImmediate(() => this.#turn(handler))
  }
}
